//! The CUDA backend: the same kernels on a GPU. It needs only the driver.
//!
//! Each file holds the launchers of a family of kernels, whose sources are `kernels/cuda/*.cu`. The module `gpu` below
//! manages the device.

mod bf16;
mod images;
mod multi_tensor;
mod operand;
mod phases;
mod split_k;
mod strided_index;
mod tensor_core;
mod tile;

pub(crate) mod augment;
pub(crate) mod batch_norm;
pub(crate) mod clipping;
pub(crate) mod conv;
pub(crate) mod copy;
pub(crate) mod elementwise;
pub(crate) mod gather;
pub(crate) mod im2col;
pub(crate) mod optimizer;
pub(crate) mod pooling;
pub(crate) mod product;
pub(crate) mod random;
pub(crate) mod reduce;
pub(crate) mod resample;
pub(crate) mod softmax;
pub(crate) mod sort;

pub use tensor_core::{Precision, precision, set_precision};

pub use crate::gpu::context::CudaStats;
pub use crate::gpu::driver::{DeviceReport, DriverReport, report};
pub use crate::gpu::graph::{Graph, GraphMemory};
pub use crate::gpu::side_stream::{Mark, SideStream};
pub use chainrule_kernels::Family;

use std::time::Duration;

use crate::element::Element;
use crate::error::TensorError;
use crate::gpu;
use crate::layout::Layout;
use crate::tensor::TensorOf;

impl SideStream {
    /// A tensor (n) with unspecified elements, to be written by work that is queued after this call.
    pub fn tensor<T: Element>(&self, n: usize) -> TensorOf<T> {
        self.gpu.tensor(Layout::contiguous(n.into()))
    }
}

/// The memory and launch statistics of a device.
///
/// # Errors
/// If the device cannot be used.
pub fn stats(ordinal: usize) -> Result<CudaStats, TensorError> {
    Ok(gpu::open(ordinal)?.stats())
}

/// Returns a device's free blocks to the driver.
///
/// # Errors
/// If the device cannot be used.
pub fn trim(ordinal: usize) -> Result<(), TensorError> {
    gpu::open(ordinal)?.trim();
    Ok(())
}

/// Loads a family of kernels on a device and unloads it: the time that loading took, or why it does not load. The driver
/// compiles a family when it loads it for the first time, and caches the result.
///
/// # Errors
/// If the device cannot be used.
pub fn try_load(ordinal: usize, family: Family) -> Result<Result<Duration, String>, TensorError> {
    Ok(gpu::open(ordinal)?.try_load(family))
}
