//! The CPU kernels, one file per family.

pub(crate) mod augment;
pub(crate) mod batch_norm;
mod caches;
pub(crate) mod clipping;
pub(crate) mod conv;
pub(crate) mod copy;
pub(crate) mod elementwise;
pub(crate) mod gather;
pub(crate) mod im2col;
pub(crate) mod images;
pub(crate) mod math;
pub(crate) mod optimizer;
pub(crate) mod plan;
pub(crate) mod pooling;
pub(crate) mod product;
pub(crate) mod random;
pub(crate) mod reduce;
pub(crate) mod resample;
pub(crate) mod simd;
pub(crate) mod softmax;
pub(crate) mod sort;
pub(crate) mod strided;
mod tasks;
