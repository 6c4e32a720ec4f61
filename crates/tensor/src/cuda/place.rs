//! Tensors that lie on a device.

use super::gpu::Gpu;
use super::memory::CudaBuffer;
use super::walk::address;
use crate::device::Device;
use crate::element::Element;
use crate::layout::Layout;
use crate::tensor::TensorOf;

impl Gpu {
    /// A tensor without gaps whose elements hold whatever their memory held before; for kernels, which then write all.
    pub(crate) fn tensor<T: Element>(&'static self, layout: Layout) -> TensorOf<T> {
        TensorOf::on_gpu(layout, CudaBuffer::new(self, layout.numel()))
    }

    /// What a kernel of this device computes with: a tensor that lies here, or a number brought here.
    ///
    /// # Panics
    /// If the tensor lies elsewhere and has more than one element: moving it would cost more than most kernels do, and
    /// should not go unseen.
    #[track_caller]
    pub(super) fn operand<T: Element>(&'static self, x: &TensorOf<T>) -> TensorOf<T> {
        match x.gpu() {
            Some(gpu) if gpu == self => x.clone(),
            None if x.numel() <= 1 => match x.numel() {
                0 => self.tensor(*x.layout()),
                _ => T::full(self.device(), x.shape(), x.item()),
            },
            _ => panic!(
                "an operation on {} got a tensor of shape {} on {}\n  rule: move it by to(device) first",
                self.device(),
                x.shape(),
                x.device()
            ),
        }
    }

    /// A copy of a tensor in this machine's memory, with its axes in the same order.
    pub(super) fn take<T: Element>(&'static self, x: &TensorOf<T>) -> TensorOf<T> {
        assert!(x.gpu().is_none(), "uploads come from this machine's memory");
        let dense = x.dense();
        let y = self.tensor(dense.layout().dense_like());
        let from = dense.layout().offset();
        let elements = &dense.buffer()[from..from + dense.numel()];
        // SAFETY: elements are plain numbers, which any bytes of theirs say all about.
        let bytes = unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) };
        self.upload(address(&y), bytes);
        y
    }

    /// A copy of a tensor on this device in this machine's memory, with its axes in the same order.
    #[track_caller]
    pub(super) fn give<T: Element>(&'static self, x: &TensorOf<T>) -> TensorOf<T> {
        let mut dense = x.dense();
        if dense.is_narrow() {
            // Widened for this once: a replay may write the tensor anew, which a copy that is kept would not show.
            let mut wide = self.tensor(dense.layout().dense_like());
            super::bf16::widen_into(self, &mut wide, &dense);
            dense = wide;
        }
        let mut y = TensorOf::<T>::uninitialized(dense.layout().dense_like());
        let (elements, _) = y.buffer_mut();
        // SAFETY: elements are plain numbers, for which any bytes will do.
        let bytes = unsafe { std::slice::from_raw_parts_mut(elements.as_mut_ptr().cast(), size_of_val(elements)) };
        self.download(bytes, address(&dense));
        y
    }
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
        let here = self.gpu().map_or_else(|| self.clone(), |gpu| gpu.give(self));
        match device {
            Device::Cpu => here,
            Device::Cuda(ordinal) => super::gpu::open(ordinal).unwrap_or_else(|error| panic!("{error}")).take(&here),
        }
    }
}
