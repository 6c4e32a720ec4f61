//! Recomputation: a net that keeps less in the forward pass, and computes it again in the backward pass.

use std::ops::Range;
use std::sync::Arc;

use chainrule_autograd::{VarOf, recompute};
use chainrule_tensor::{Float, Shape, ShapeError};

use crate::chain::{forward, is_fusing};
use crate::module::{LayerKind, Module, Visitor};

/// A module whose intermediate values are not kept for the backward pass, which computes them again
/// ([`recompute`](chainrule_autograd::recompute)): less memory, for the time of one more forward pass. Outputs, gradients,
/// dropout's masks and running statistics have the same bits as without; on a GPU, where the module begins with a batch
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

    /// A net that is cut into `segments` segments of about equally many parts. The inputs of the segments are kept, and all
    /// values of the last one, which would be needed again at once (`torch.utils.checkpoint.checkpoint_sequential`). A net of n
    /// equal parts takes the least memory with about √n segments.
    ///
    /// The parts are the net's stages ([`Module::stages`]), and of a stage that is itself a sequence its stages, such as the
    /// blocks in the four layers of a residual net. Layers that [`chain`](crate::chain) fuses are one part: cut apart, they would
    /// keep values that the fused op does not have.
    ///
    /// # Panics
    /// If the net has fewer parts than `segments`, or if that is less than 2.
    #[track_caller]
    #[must_use]
    pub fn in_segments(net: impl Module<T> + 'static, segments: usize) -> Self {
        let parts = parts(&stages(&net));
        let count = parts.len();
        assert!(
            segments >= 2 && count >= segments,
            "Recompute::in_segments: {segments} segments of a net of {count} parts\n  rule: at least 2 segments, and a part for each"
        );
        let cut = |i: usize| parts.get(i * count / segments).map_or_else(|| parts[count - 1].end, |part| part.start);
        Self { module: Arc::new(net), segments: (0..segments).map(|i| cut(i)..cut(i + 1)).collect() }
    }

    /// The number of parts of a net that can be in different segments.
    pub fn parts(net: &dyn Module<T>) -> usize {
        parts(&stages(net)).len()
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

/// The ranges of stages that are not cut apart.
fn parts<T: Float>(stages: &[&dyn Module<T>]) -> Vec<Range<usize>> {
    use LayerKind::{Add, BatchNorm, Conv2d, MaxPool2d, Relu};
    let mut parts: Vec<Range<usize>> = Vec::new();
    for i in 0..stages.len() {
        let fused = i > 0
            && matches!(
                (stages[i - 1].kind(), stages[i].kind()),
                (Conv2d(..) | BatchNorm(_) | Add(_), BatchNorm(_) | Relu | Add(_)) | (Relu, MaxPool2d(_))
            );
        match parts.last_mut() {
            Some(part) if fused => part.end = i + 1,
            _ => parts.push(i..i + 1),
        }
    }
    parts
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
