//! Optimizer steps, each one pass over a parameter.

use crate::element::Float;
use crate::tensor::TensorOf;

/// What a step of stochastic gradient descent needs to know, as in `torch.optim.SGD`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// The learning rate.
    pub lr: f64,
    /// The share of the running direction that is kept.
    pub momentum: f64,
    /// The share of the gradient that does not enter the running direction.
    pub dampening: f64,
    /// Whether to look ahead along the running direction (Nesterov).
    pub nesterov: bool,
    /// The factor of the parameter that is added to its gradient.
    pub weight_decay: f64,
    /// Whether this is the parameter's first step, at which the running direction becomes the gradient itself.
    pub first: bool,
}

/// What a step of Adam needs to know, as in `torch.optim.Adam` and `AdamW`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// The learning rate.
    pub lr: f64,
    /// The share of the running mean that is kept.
    pub beta1: f64,
    /// The share of the running mean of squares that is kept.
    pub beta2: f64,
    /// Added to the root of the running mean of squares.
    pub eps: f64,
    /// The factor of the parameter that is added to its gradient or, decoupled, the share of the parameter that
    /// lr times this takes away.
    pub weight_decay: f64,
    /// Whether the decay bypasses the moments (`AdamW`).
    pub decoupled: bool,
    /// The number of this step, from 1.
    pub step: u64,
}

pub(crate) fn sgd_step<T: Float>(
    _parameter: &mut TensorOf<T>,
    _gradient: &TensorOf<T>,
    _momentum: Option<&mut TensorOf<T>>,
    _step: SgdStep,
) {
    unimplemented!()
}

pub(crate) fn adam_step<T: Float>(
    _parameter: &mut TensorOf<T>,
    _gradient: &TensorOf<T>,
    _m: &mut TensorOf<T>,
    _v: &mut TensorOf<T>,
    _step: AdamStep,
) {
    unimplemented!()
}
