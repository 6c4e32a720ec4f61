//! Moving a tensor between this machine's memory and a device.

use crate::device::Device;
use crate::element::Element;
use crate::gpu::launch::checked;
use crate::gpu::{self, Gpu};
use crate::tensor::{TensorOf, address};

/// A copy on a device of a tensor in this machine's memory, with its axes in the same order.
fn upload<T: Element>(gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<T> {
    assert!(x.gpu().is_none(), "uploads come from this machine's memory");
    let dense = x.dense();
    let y = gpu.tensor(dense.layout().dense_like());
    let from = dense.layout().offset();
    let elements = &dense.buffer()[from..from + dense.numel()];
    // SAFETY: elements are plain numbers, which any bytes of theirs say all about.
    let bytes = unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) };
    gpu.upload(address(&y), bytes);
    y
}

/// A copy of a tensor on this device in this machine's memory, with its axes in the same order.
#[track_caller]
fn download<T: Element>(gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<T> {
    let mut dense = x.dense();
    if dense.is_bf16() {
        // Widened for this once: a replay may write the tensor anew, which a copy that is kept would not show.
        let wide = gpu.tensor(dense.layout().dense_like());
        let from = dense.bf16_address().expect("it is stored as bf16");
        let (to, numel) = (address(&wide), checked(dense.numel()));
        // SAFETY: both have so many elements without gaps, and the wide ones are nobody else's.
        unsafe { gpu.convert("widen", [&to, &from, &numel], numel) };
        dense = wide;
    }
    let mut y = TensorOf::<T>::uninitialized(dense.layout().dense_like());
    let (elements, _) = y.buffer_mut();
    // SAFETY: elements are plain numbers, for which any bytes will do.
    let bytes = unsafe { std::slice::from_raw_parts_mut(elements.as_mut_ptr().cast(), size_of_val(elements)) };
    gpu.download(bytes, address(&dense));
    y
}

impl<T: Element> TensorOf<T> {
    /// Where the elements lie on a GPU: the same as long as they are only changed in place; `None` elsewhere.
    pub fn gpu_address(&self) -> Option<u64> {
        self.gpu().map(|_| address(self))
    }

    /// The same elements on another device, or this very tensor if it lies there.
    ///
    /// A copy to a GPU is only asked for: it is done before whatever is asked of the GPU next. A copy from one waits for it.
    ///
    /// # Panics
    /// If the device cannot be used: ask [`Device::ready`] first. If a kernel of the GPU that it waits for was given a
    /// label or an index out of range.
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
}
