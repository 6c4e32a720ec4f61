//! Parameters of the optimizer steps.

use crate::tensor::TensorOf;

/// The settings of a step of stochastic gradient descent, as in `torch.optim.SGD`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// The learning rate.
    pub lr: f64,
    /// The momentum: the factor of the momentum buffer.
    pub momentum: f64,
    /// The dampening: the gradient enters the momentum buffer with the factor `1 − dampening`.
    pub dampening: f64,
    /// Whether to use Nesterov momentum.
    pub nesterov: bool,
    /// The weight decay: this factor times the parameter is added to the gradient.
    pub weight_decay: f64,
    /// Whether this is the parameter's first step, at which the momentum buffer becomes the gradient itself.
    pub first: bool,
}

/// The settings of a step of Adam, as in `torch.optim.Adam` and `AdamW`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// The learning rate.
    pub lr: f64,
    /// β₁: the decay rate of the first moment.
    pub beta1: f64,
    /// β₂: the decay rate of the second moment.
    pub beta2: f64,
    /// ε: added to the square root of the second moment.
    pub eps: f64,
    /// The weight decay: this factor times the parameter is added to the gradient or, if decoupled, `lr` times this factor
    /// times the parameter is subtracted from the parameter.
    pub weight_decay: f64,
    /// Whether the decay bypasses the moments (`AdamW`).
    pub decoupled: bool,
    /// The number of this step, from 1.
    pub step: u64,
}

/// A parameter with its state, for a step of stochastic gradient descent.
pub struct SgdSlot<'a, T> {
    /// The parameter, which is updated.
    pub parameter: &'a mut TensorOf<T>,
    /// Its gradient, of the same shape.
    pub gradient: &'a TensorOf<T>,
    /// The momentum buffer, of the same shape, if there is momentum.
    pub momentum: Option<&'a mut TensorOf<T>>,
    /// The settings.
    pub step: SgdStep,
}

/// A parameter with its state, for a step of Adam.
pub struct AdamSlot<'a, T> {
    /// The parameter, which is updated.
    pub parameter: &'a mut TensorOf<T>,
    /// Its gradient, of the same shape.
    pub gradient: &'a TensorOf<T>,
    /// The first moment, of the same shape.
    pub mean: &'a mut TensorOf<T>,
    /// The second moment, of the same shape.
    pub square: &'a mut TensorOf<T>,
    /// The settings.
    pub step: AdamStep,
}

/// The factor by which gradients of this norm are scaled so that it becomes at most `max_norm`, with the 1e-6 in the
/// denominator of `torch.nn.utils.clip_grad_norm_`. 1 for a norm that is not finite: the factor 0 or NaN would replace all
/// gradients.
pub(crate) fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if norm.is_finite() { (max_norm / (norm + 1e-6)).clamp(0.0, 1.0) } else { 1.0 }
}
