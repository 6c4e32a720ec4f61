//! What the steps of optimizers need to know.

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

/// A parameter and what a step of stochastic gradient descent changes it by.
pub struct SgdSlot<'a, T> {
    /// What is changed.
    pub parameter: &'a mut TensorOf<T>,
    /// Its gradient, of the same shape.
    pub gradient: &'a TensorOf<T>,
    /// The running direction, of the same shape, if there is momentum.
    pub momentum: Option<&'a mut TensorOf<T>>,
    /// The settings.
    pub step: SgdStep,
}

/// A parameter and what a step of Adam changes it by.
pub struct AdamSlot<'a, T> {
    /// What is changed.
    pub parameter: &'a mut TensorOf<T>,
    /// Its gradient, of the same shape.
    pub gradient: &'a TensorOf<T>,
    /// The running mean, of the same shape.
    pub mean: &'a mut TensorOf<T>,
    /// The running mean of squares, of the same shape.
    pub square: &'a mut TensorOf<T>,
    /// The settings.
    pub step: AdamStep,
}
