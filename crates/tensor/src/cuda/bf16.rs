//! Activations stored as bf16, the upper half of `f32`: half the memory and half the traffic.
//!
//! bf16 is no element type: such a tensor is a [`Tensor`](crate::Tensor) that only kernels tell from others. Convolutions
//! and linear layers make it where [`Precision::Bf16`](super::Precision) is set; the kernels that networks spend their time
//! in read and write it as it is, and every other one gets it widened, once for each tensor.

use chainrule_kernels::Family;

use super::gpu::Gpu;
use super::launch::{Argument, Grid};
use super::memory::{Block, CudaBuffer};
use super::walk::checked;
use crate::element::Element;
use crate::layout::Layout;
use crate::tensor::TensorOf;

/// How a kernel's activations are stored: by the name of its variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored(pub(super) &'static str);

/// As bf16.
pub(super) const BF16: Stored = Stored("bf16");

impl Stored {
    /// As a tensor is.
    pub(super) fn like<T: Element>(x: &TensorOf<T>) -> Self {
        if x.is_narrow() { BF16 } else { Self(T::NAME) }
    }

    /// A tensor without gaps, stored so, for a kernel to write.
    pub(super) fn tensor<T: Element>(self, gpu: &'static Gpu, layout: Layout) -> TensorOf<T> {
        if self == BF16 {
            return TensorOf::on_gpu(layout, CudaBuffer::new_narrow(gpu, layout.numel()));
        }
        gpu.tensor(layout)
    }

    /// The elements of a tensor, stored so; converted if they are not.
    pub(super) fn read<T: Element>(self, gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<T> {
        if self != BF16 || x.is_narrow() {
            return x.clone();
        }
        let dense = x.dense();
        let y = self.tensor(gpu, dense.layout().dense_like());
        let (to, from, numel) = (self.address(&y), super::walk::address(&dense), checked(dense.numel()));
        // SAFETY: both have so many elements without gaps.
        unsafe { gpu.convert("narrow", [&to, &from, &numel], numel) };
        y
    }

    /// Where the first element of a tensor that is stored so lies.
    pub(super) fn address<T: Element>(self, x: &TensorOf<T>) -> u64 {
        match x.cuda_buffer().narrow_address() {
            Some(start) if self == BF16 => start + (x.layout().offset() * size_of::<u16>()) as u64,
            _ => super::walk::address(x),
        }
    }
}

impl Gpu {
    /// A block with the `f32` of so many bf16.
    pub(super) fn widen(&'static self, from: u64, len: usize) -> Block {
        let block = self.allocate(len * size_of::<f32>());
        let (to, numel) = (block.address(), checked(len));
        // SAFETY: the block has room for so many.
        unsafe { self.convert("widen", [&to, &from, &numel], numel) };
        block
    }

    /// # Safety
    /// As for [`Gpu::launch`].
    unsafe fn convert(&self, name: &'static str, arguments: [&dyn Argument; 3], numel: u32) {
        // SAFETY: promised by the caller.
        unsafe { self.launch(Family::Elementwise, (name, "bf16"), Grid::elements(numel as usize), arguments) }
    }
}

/// Writes the elements of a narrow tensor without gaps into one of the same layout that is not.
pub(super) fn widen_into<T: Element>(gpu: &'static Gpu, y: &mut TensorOf<T>, x: &TensorOf<T>) {
    let (to, from, numel) = (super::walk::address(y), BF16.address(x), checked(x.numel()));
    // SAFETY: both have so many elements without gaps, and y is nobody else's.
    unsafe { gpu.convert("widen", [&to, &from, &numel], numel) };
}

impl<T: Element> TensorOf<T> {
    /// Whether the elements are stored as bf16.
    pub(super) fn is_narrow(&self) -> bool {
        self.cuda_buffer().is_narrow()
    }

    /// A tensor for these elements in another layout without gaps, where they are and stored as they are.
    pub(crate) fn uninitialized_as_stored(&self, layout: Layout) -> Self {
        self.gpu().map_or_else(|| Self::uninitialized(layout), |gpu| Stored::like(self).tensor(gpu, layout))
    }
}
