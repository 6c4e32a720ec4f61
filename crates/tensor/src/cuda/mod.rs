//! The CUDA backend: the same kernels on a GPU that needs only a driver.
//!
//! `gpu` opens a device, `memory` is its pool, `launch` starts kernels, `slots` gives one many tensors, `transfer` moves
//! numbers between host and device, `graph` records a step and replays it. The other files each hold the launchers of a
//! family of kernels, whose sources are `kernels/cuda/*.cu`. All work of a device is on one stream: what is launched
//! later sees what was launched before.

mod augment;
mod bf16;
mod board;
mod driver;
mod gpu;
mod graph;
mod images;
mod launch;
mod memory;
mod place;
mod slots;
mod table;
mod tensor_core;
mod transfer;
mod walk;

pub(crate) mod batch_norm;
pub(crate) mod clipping;
pub(crate) mod conv;
pub(crate) mod copy;
pub(crate) mod elementwise;
pub(crate) mod gather;
pub(crate) mod im2col;
pub(crate) mod matmul;
pub(crate) mod optimizer;
pub(crate) mod pooling;
pub(crate) mod random;
pub(crate) mod reduce;
pub(crate) mod resample;
pub(crate) mod softmax;
pub(crate) mod sort;

pub(crate) use gpu::{Gpu, Placed};
pub(crate) use memory::CudaBuffer;

pub use augment::{ImageBatch, ImageStep, MOST_STEPS, image_batch};
pub use driver::{DeviceReport, DriverReport, report};
pub use gpu::CudaStats;
pub use graph::{Graph, GraphMemory};
pub use tensor_core::{Precision, precision, set_precision};

pub use chainrule_kernels::Family;

use crate::error::TensorError;

/// What a device holds and did.
///
/// # Errors
/// If the device cannot be used.
pub fn stats(ordinal: usize) -> Result<CudaStats, TensorError> {
    Ok(gpu::open(ordinal)?.stats())
}

/// Gives a device's free blocks back to the driver.
///
/// # Errors
/// If the device cannot be used.
pub fn trim(ordinal: usize) -> Result<(), TensorError> {
    gpu::open(ordinal)?.trim();
    Ok(())
}

/// Why a family of kernels does not load on a device; `None` if it does.
///
/// # Errors
/// If the device cannot be used.
pub fn try_load(ordinal: usize, family: Family) -> Result<Option<String>, TensorError> {
    Ok(gpu::open(ordinal)?.try_load(family).err())
}

/// Opens a device.
pub(crate) fn ready(ordinal: usize) -> Result<(), TensorError> {
    gpu::open(ordinal).map(|_| ())
}
