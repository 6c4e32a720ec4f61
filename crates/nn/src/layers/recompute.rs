//! Recomputation: a net that keeps less in the forward pass, and computes it again in the backward pass.

use std::ops::Range;
use std::sync::Arc;

use chainrule_autograd::{VarOf, recompute};
use chainrule_tensor::{Float, Shape, ShapeError};

use crate::chain::{forward, is_fusing};
use crate::module::{Module, Visitor};

/// A module whose intermediate values are not kept for the backward pass, which computes them again
/// ([`recompute`](chainrule_autograd::recompute)): less memory, for the time of one more forward pass. Outputs, gradients,
/// dropout's masks and running statistics have the same bits as without; on a GPU, where a segment begins with a batch
/// normalization, up to rounding.
///
/// Paths are those of the module itself. It is one stage of a net that contains it ([`Module::stages`]). In [`unfused`](crate::unfused), where intermediate values are looked at, all of them
/// are kept.
///
/// ```
/// use chainrule_autograd::Var;
/// use chainrule_nn::{Activation, Linear, Module, Recompute, Sequential};
/// use chainrule_tensor::{Rng, Tensor};
/// let mut rng = Rng::seed(0);
/// let block: Sequential =
///     Sequential::new().add(Linear::new(4, 64, &mut rng)).add(Activation::Gelu).add(Linear::new(64, 4, &mut rng));
/// let net = Sequential::new().add(Recompute::new(block)).add(Linear::new(4, 2, &mut rng));
/// let loss = net.forward(&Var::constant(Tensor::ones([5, 4]))).square().mean();
/// assert_eq!(loss.backward().len(), 6);
/// ```
pub struct Recompute<T: Float = f32> {
    module: Arc<dyn Module<T>>,
    /// The stages that are run as one; those of the last range are kept if there are several.
    segments: Vec<Range<usize>>,
}

impl<T: Float> Recompute<T> {
    /// The module as a whole: only its input is kept.
    pub fn new(module: impl Module<T> + 'static) -> Self {
        Self { module: Arc::new(module), segments: Vec::new() }
    }

    /// A net of stages that is cut into `segments` parts of about equally many stages. The inputs of the parts are kept, and all
    /// values of the last one, which would be needed again at once (`torch.utils.checkpoint.checkpoint_sequential`). A net of n
    /// equal stages takes the least memory with about √n segments.
    ///
    /// A stage that is itself a sequence counts as its stages, such as the blocks in the four layers of a residual net
    /// ([`Module::stages`]).
    ///
    /// # Panics
    /// If the net has fewer stages than `segments`, or if that is less than 2.
    #[track_caller]
    #[must_use]
    pub fn in_segments(net: impl Module<T> + 'static, segments: usize) -> Self {
        let stages = stages(&net).len();
        assert!(
            segments >= 2 && stages >= segments,
            "Recompute::in_segments: {segments} segments of a net of {stages} stages\n  rule: at least 2 segments, and a stage for each"
        );
        let cut = |i: usize| i * stages / segments;
        Self { module: Arc::new(net), segments: (0..segments).map(|i| cut(i)..cut(i + 1)).collect() }
    }

    /// The number of stages of a net that can be in different segments.
    pub fn stages(net: &dyn Module<T>) -> usize {
        stages(net).len()
    }
}

/// The stages of a net, and in place of those that are sequences theirs.
fn stages<T: Float>(net: &dyn Module<T>) -> Vec<&dyn Module<T>> {
    let flat = |(_, stage): (String, _)| match stages(stage) {
        inner if inner.is_empty() => vec![stage],
        inner => inner,
    };
    net.stages().into_iter().flat_map(flat).collect()
}

impl<T: Float> Module<T> for Recompute<T> {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        if !is_fusing() {
            return self.module.forward(x);
        }
        let Some((last, first)) = self.segments.split_last() else {
            let module = self.module.clone();
            return recompute(move |x| module.forward(&x[0]), std::slice::from_ref(x));
        };
        let mut x = x.clone();
        for segment in first {
            let (module, segment) = (self.module.clone(), segment.clone());
            x = recompute(move |x| forward(&stages(&*module)[segment.clone()], &x[0]), &[x]);
        }
        forward(&stages(&*self.module)[last.clone()], &x)
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        self.module.visit(visitor);
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        self.module.output_shape(x)
    }
}
