//! Sequences of layers, run with fused ops where kernels for them exist.

use std::cell::Cell;

use chainrule_autograd::{VarOf, computed_once};
use chainrule_tensor::{Epilogue, Float, shape_rules};

use crate::module::{LayerKind, Module};

thread_local! {
    static FUSING: Cell<bool> = const { Cell::new(true) };
}

/// Runs layers in sequence: the result of `layers.iter().fold(x, |x, layer| layer.forward(&x))`, with fused ops where
/// kernels for them exist. [`Sequential`](crate::Sequential) does the same with layers that it owns.
///
/// | layers | op |
/// |---|---|
/// | convolution, [`Relu`](crate::Relu), max pooling | `conv2d_relu_max_pool2d`; on the CPU mostly without the whole intermediate result |
/// | convolution, [`Add`](crate::Add) and/or `Relu` | `conv2d` with an epilogue; the intermediate results are not stored |
/// | convolution, batch normalization in training | two ops; on a GPU the first also computes the channel statistics for the second |
/// | batch normalization, `Add` and/or `Relu` | `batch_norm`, in one pass |
/// | `Relu`, max pooling | `relu_max_pool2d` |
///
/// On the CPU the results and all gradients are bit-for-bit those of the unfused layers, which [`unfused`] runs.
///
/// ```
/// use chainrule_autograd::Var;
/// use chainrule_nn::{Add, BatchNorm2d, Conv2d, MaxPool2d, Relu, chain, unfused};
/// use chainrule_tensor::{Rng, Tensor};
/// let conv: Conv2d = Conv2d::builder(4, 4, 3).padding(1).build(&mut Rng::seed(0));
/// let (bn, x) = (BatchNorm2d::new(4), Var::constant(Tensor::ones([2, 4, 8, 8])));
/// let net = || chain(&x, &[&conv, &bn, &Add(&x), &Relu, &MaxPool2d::new(2)]);
/// assert_eq!(net().shape(), [2, 4, 4, 4]);
/// assert_eq!(net().value().to_vec(), unfused(net).value().to_vec());
/// ```
#[track_caller]
pub fn chain<T: Float>(x: &VarOf<T>, layers: &[&dyn Module<T>]) -> VarOf<T> {
    forward(layers, x)
}

/// Runs `body` with fusion disabled in [`chain`] and [`Sequential`](crate::Sequential), so that each layer records its own
/// ops and its output can be inspected.
pub fn unfused<R>(body: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            FUSING.set(self.0);
        }
    }
    let _restore = Restore(FUSING.replace(false));
    body()
}

/// Whether layers may be fused. What is [recomputed](crate::Recompute) is fused as in its first run.
pub(crate) fn is_fusing() -> bool {
    computed_once(|| FUSING.get())
}

/// Runs modules in sequence.
#[track_caller]
pub(crate) fn forward<T: Float, M: Module<T>>(modules: &[M], x: &VarOf<T>) -> VarOf<T> {
    let (mut x, mut rest) = (x.clone(), modules);
    let fusing = is_fusing();
    while let Some(first) = rest.first() {
        let taken;
        (x, taken) = if fusing { fused(rest, &x) } else { (first.forward(&x), 1) };
        rest = &rest[taken..];
    }
    x
}

/// Runs one or more of the first modules as one op. Returns the output and the number of modules.
#[track_caller]
fn fused<T: Float, M: Module<T>>(modules: &[M], x: &VarOf<T>) -> (VarOf<T>, usize) {
    let kind = |i: usize| modules.get(i).map_or(LayerKind::Other, Module::kind);
    match (kind(0), kind(1), kind(2)) {
        (LayerKind::Conv2d(w, b, options), LayerKind::Relu, LayerKind::MaxPool2d(pool)) => {
            (x.conv2d_relu_max_pool2d(w, b, options, pool), 3)
        }
        (LayerKind::Conv2d(w, b, options), LayerKind::BatchNorm(bn), _) if bn.uses_channel_stats() => {
            (x.conv2d_with(w, b, options, Epilogue::CHANNEL_STATS), 1)
        }
        (LayerKind::Conv2d(w, b, options), next, after) => {
            let y = shape_rules::conv2d(x.shape(), w.shape(), b.map(VarOf::shape), options);
            let (epilogue, taken) = epilogue(next, after, |r| y.as_ref().is_ok_and(|&y| y == r.shape()));
            (x.conv2d_with(w, b, options, epilogue), 1 + taken)
        }
        (LayerKind::BatchNorm(bn), next, after) => {
            let (epilogue, taken) = epilogue(next, after, |r| r.shape() == x.shape());
            (bn.forward_with(x, epilogue), 1 + taken)
        }
        (LayerKind::Relu, LayerKind::MaxPool2d(pool), _) => (x.relu_max_pool2d(pool), 2),
        _ => (modules[0].forward(x), 1),
    }
}

/// The epilogue for the next two layers, and how many of them it covers. A residual that is broadcast is not fused.
fn epilogue<'a, T: Float>(
    next: LayerKind<'a, T>,
    after: LayerKind<'a, T>,
    fits: impl Fn(&VarOf<T>) -> bool,
) -> (Epilogue<'a, VarOf<T>>, usize) {
    match (next, after) {
        (LayerKind::Relu, _) => (Epilogue::RELU, 1),
        (LayerKind::Add(residual), LayerKind::Relu) if fits(residual) => (Epilogue::add_relu(residual), 2),
        (LayerKind::Add(residual), _) if fits(residual) => (Epilogue::add(residual), 1),
        _ => (Epilogue::NONE, 0),
    }
}
