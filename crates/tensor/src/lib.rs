//! Tensors for chainrule: strided views, kernels written by hand, the same bits on any number of threads.
//!
//! This crate computes with numbers only and does not depend on gradients. From the bottom up: a [`Layout`] maps indices to
//! positions in a pooled buffer, a [`TensorOf`] is a layout with a buffer, `kernel` is the table of kernels, and `cpu` and
//! `cuda` implement them.

mod axes;
pub mod buffer_pool;
mod cpu;
pub mod cuda;
mod device;
mod dispatch;
mod element;
mod error;
mod geometry;
mod gpu;
mod kernel;
mod layout;
pub mod machine;
mod memory_format;
mod methods;
mod parallel;
mod parameters;
mod print;
mod random;
pub mod ranges;
mod scalar;
mod shape;
pub mod shape_rules;
mod shared;
mod storage;
mod tensor;
mod views;

pub use device::Device;
pub use element::{Element, Float};
#[doc(hidden)]
pub use error::OrPanic;
pub use error::{ShapeError, TensorError};
pub use kernel::{
    AdamSlot, AdamStep, BatchNormGradients, Binary, Compare, Epilogue, ImageStep, MAX_IMAGE_STEPS, PoolIndices,
    SgdSlot, SgdStep, Tap, Unary,
};
pub use layout::Layout;
pub use methods::positions;
pub use parallel::{parallel_chunks, parallel_for, set_threads, threads, with_threads};
pub use random::{Key, Purpose, Rng};
pub use scalar::{Real, Scalar};
pub use shape::{MAX_RANK, Shape};
pub use shape_rules::arrange::PadMode;
pub use shape_rules::{Conv2dOptions, Pool2dOptions, Window};
pub use shared::Shared;
pub use tensor::{Tensor, Tensor64, TensorOf};
