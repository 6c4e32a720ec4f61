//! Losses and the softmax family.

mod binary_cross_entropy;
pub(super) mod cross_entropy;
mod log_softmax;
pub(super) mod mse;
mod soft_cross_entropy;
