//! Losses and the softmax family.

mod absolute;
mod binary_cross_entropy;
pub(super) mod cross_entropy;
mod kl_div;
mod labels;
mod log_softmax;
mod margin;
pub(super) mod mse;
pub(super) mod nll;
mod soft_cross_entropy;
