//! The ops, each whole in one file: its formula, its kernel call and its derivative rule.
//!
//! Ops are methods of [`VarOf`](crate::VarOf); [`VarOf::record`](crate::VarOf::record) makes further ones. They panic with
//! the text of [`chainrule_tensor::shape_rules`] where shapes do not fit. `dy` is the gradient of an op's output, `dx`,
//! `dw`, `db` those of its inputs.

mod abs;
pub(crate) mod arithmetic;
mod batch_norm;
mod batch_norm_inference;
mod binary_cross_entropy;
mod broadcast;
mod channel_sum;
mod clamp;
mod concat;
mod conv2d;
mod conv2d_batch_norm;
mod conv2d_relu_max_pool2d;
mod conv_transpose2d;
mod cross_entropy;
mod dropout;
mod exp;
mod gather;
mod gelu;
mod im2col;
mod leaky_relu;
mod linear;
mod log;
mod log_softmax;
mod matmul;
mod max;
mod maximum;
mod mish;
mod mse;
mod pad;
mod pool;
mod pow;
mod relu;
pub(crate) mod scalar;
mod select;
mod sigmoid;
mod softplus;
mod sum;
mod swish;
mod tanh;
mod upsample;
mod view;

pub use batch_norm::BatchStatistics;
pub use cross_entropy::CrossEntropy;
pub use mse::Reduction;
