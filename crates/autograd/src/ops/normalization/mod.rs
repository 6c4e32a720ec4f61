//! Batch normalization and dropout.

pub(super) mod batch_norm;
mod batch_norm_gradients;
mod dropout;
mod group_norm;
pub(super) mod processes;
mod synchronized;
