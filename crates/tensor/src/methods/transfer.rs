//! Transfers between host memory and a device.

use crate::device::Device;
use crate::element::Element;
use crate::gpu::launch::checked;
use crate::gpu::{self, Gpu};
use crate::tensor::{TensorOf, address};

/// Uploads a tensor from host memory, with the same memory order of axes.
fn upload<T: Element>(gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<T> {
    assert!(x.gpu().is_none(), "an upload starts from host memory");
    let dense = x.dense();
    let y = gpu.tensor(dense.layout().dense_like());
    let from = dense.layout().offset();
    let elements = &dense.buffer()[from..from + dense.numel()];
    // SAFETY: elements are plain numbers without padding bytes.
    let bytes = unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) };
    gpu.upload(address(&y), bytes);
    y
}

/// Downloads a tensor to host memory, with the same memory order of axes.
#[track_caller]
fn download<T: Element>(gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<T> {
    let mut dense = x.dense();
    if dense.is_bf16() {
        // Converted anew each time: a replay may overwrite the tensor, and a cached copy would be stale.
        let wide = gpu.tensor(dense.layout().dense_like());
        let from = dense.bf16_address().expect("it is stored as bf16");
        let (to, numel) = (address(&wide), checked(dense.numel()));
        // SAFETY: both are dense with `numel` elements, and the f32 buffer is exclusive.
        unsafe { gpu.convert("widen", [&to, &from, &numel], numel) };
        dense = wide;
    }
    let mut y = TensorOf::<T>::uninitialized(dense.layout().dense_like());
    let (elements, _) = y.buffer_mut();
    // SAFETY: elements are plain numbers, for which all bit patterns are valid.
    let bytes = unsafe { std::slice::from_raw_parts_mut(elements.as_mut_ptr().cast(), size_of_val(elements)) };
    gpu.download(bytes, address(&dense));
    y
}

impl<T: Element> TensorOf<T> {
    /// The address of the elements on a GPU, which in-place updates do not change; `None` on the CPU.
    pub fn gpu_address(&self) -> Option<u64> {
        self.gpu().map(|_| address(self))
    }

    /// The same elements on another device; the same tensor if it is already there.
    ///
    /// An upload to a GPU is asynchronous and ordered before later work on that GPU. A download synchronizes.
    ///
    /// # Panics
    /// If the device cannot be used; check [`Device::ready`] first. A download also panics if an earlier kernel recorded a label
    /// or an index out of range.
    #[must_use]
    #[track_caller]
    pub fn to(&self, device: Device) -> Self {
        if self.device() == device {
            return self.clone();
        }
        let here = self.gpu().map_or_else(|| self.clone(), |gpu| download(gpu, self));
        match device {
            Device::Cpu => here,
            Device::Cuda(ordinal) => upload(gpu::open(ordinal).unwrap_or_else(|error| panic!("{error}")), &here),
        }
    }

    /// As [`to`](Self::to), in the memory format in which the device's kernels read parameters: channels-last for filters (four
    /// axes) on a GPU, where each convolution would otherwise convert them at every step; row-major for all others.
    ///
    /// # Panics
    /// As [`to`](Self::to).
    #[must_use]
    #[track_caller]
    pub fn to_as_parameter(&self, device: Device) -> Self {
        let there = self.to(device);
        match (there.rank(), device) {
            (4, Device::Cpu) => there.contiguous(),
            (4, Device::Cuda(_)) => there.channels_last(),
            _ => there,
        }
    }
}
