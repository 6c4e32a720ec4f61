//! Optimizers whose steps are composed of tensor operations: several passes over a parameter instead of one fused kernel.
//!
//! A captured step is replayed with other values: the learning rate then comes from the step parameters on the device, which
//! only the fused kernels read. So each step ends in [`descend`], which is one of them, and what depends on the number of
//! the step is computed from a counter on the device. State is written in place, since a replay uses its address.

use chainrule_tensor::{Binary, Float, SgdSlot, SgdStep, TensorOf, Unary};

/// `g + decay·p`: the gradient with an L2 penalty.
pub(super) fn decayed<T: Float>(gradient: &TensorOf<T>, decay: f64, parameter: &TensorOf<T>) -> TensorOf<T> {
    if decay == 0.0 { gradient.clone() } else { parameter.unary(Unary::Mul(decay)).binary(Binary::Add, gradient) }
}

/// `average ← kept·average + (1 − kept)·x`.
pub(super) fn average<T: Float>(average: &mut TensorOf<T>, kept: f64, x: &TensorOf<T>) {
    let mut sum = average.unary(Unary::Mul(kept));
    sum.add_assign(&x.unary(Unary::Mul(1.0 - kept)));
    average.copy_from(&sum);
}

/// `step ← step + 1`, for a scalar; returns it.
pub(super) fn count<T: Float>(step: &mut TensorOf<T>) -> TensorOf<f64> {
    step.copy_from(&step.unary(Unary::Add(1.0)));
    step.to_f64()
}

/// A step along a direction: `d = direction + decay·p`, with momentum `v ← momentum·v + d` and `p ← p − lr·v`, without it
/// `p ← p − lr·d`.
pub(super) struct Descent<'a, T: Float> {
    pub(super) direction: &'a TensorOf<T>,
    /// The values by whose roots the gradient was divided to get the direction. They are checked as well as the new values: if the
    /// square of a gradient overflows, the direction is the gradient divided by ∞, which is a finite 0.
    pub(super) square: &'a TensorOf<T>,
    pub(super) lr: f64,
    pub(super) decay: f64,
    /// The factor and v.
    pub(super) momentum: Option<(f64, &'a mut TensorOf<T>)>,
}

/// Takes the step. Sets `non_finite` to 1 if a new value or a square is not finite.
pub(super) fn descend<T: Float>(parameter: &mut TensorOf<T>, descent: Descent<'_, T>, non_finite: &mut TensorOf<T>) {
    let Descent { direction, square, lr, decay, momentum } = descent;
    if square.numel() == 0 {
        return;
    }
    let (factor, buffer) = momentum.unzip();
    let step = SgdStep {
        lr,
        momentum: factor.unwrap_or(0.0),
        dampening: 0.0,
        nesterov: false,
        weight_decay: decay,
        first: false,
    };
    // A slot of its own for the largest square: 0·∞ and 0·NaN are NaN, which the kernel notices.
    let mut zero = TensorOf::full_on(square.device(), (), T::ZERO);
    let largest = square.max(&[], false);
    let check = SgdStep { lr: 0.0, momentum: 0.0, weight_decay: 0.0, ..step };
    let slots = vec![
        SgdSlot { parameter, gradient: direction, momentum: buffer, step },
        SgdSlot { parameter: &mut zero, gradient: &largest, momentum: None, step: check },
    ];
    TensorOf::sgd_step(slots, non_finite);
}
