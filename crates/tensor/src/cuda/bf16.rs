//! Activations stored as bf16, the upper half of `f32`: half the memory and half the traffic.
//!
//! bf16 is no element type: such a tensor is a [`Tensor`](crate::Tensor) that only kernels tell from others. Convolutions
//! and linear layers make it where [`Precision::Bf16`](super::Precision) is set; the kernels that networks spend their time
//! in read and write it as it is, and every other one gets it widened, once for each tensor.

use crate::element::Element;
use crate::gpu::launch::checked;
use crate::gpu::{CudaBuffer, Gpu};
use crate::layout::Layout;
use crate::tensor::{TensorOf, address};

/// How a kernel's activations are stored: by the name of its variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored(pub(super) &'static str);

/// As bf16.
pub(super) const BF16: Stored = Stored("bf16");

impl Stored {
    /// As a tensor is.
    pub(super) fn like<T: Element>(x: &TensorOf<T>) -> Self {
        if x.is_bf16() { BF16 } else { Self(T::NAME) }
    }

    /// A tensor without gaps, stored so, for a kernel to write.
    pub(super) fn tensor<T: Element>(self, gpu: &'static Gpu, layout: Layout) -> TensorOf<T> {
        if self == BF16 {
            return TensorOf::on_gpu(layout, CudaBuffer::new_bf16(gpu, layout.numel()));
        }
        gpu.tensor(layout)
    }

    /// The elements of a tensor, stored so; converted if they are not.
    pub(super) fn read<T: Element>(self, gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<T> {
        if self != BF16 || x.is_bf16() {
            return x.clone();
        }
        let dense = x.dense();
        let y = self.tensor(gpu, dense.layout().dense_like());
        let (to, from, numel) = (self.address(&y), address(&dense), checked(dense.numel()));
        // SAFETY: both have so many elements without gaps.
        unsafe { gpu.convert("narrow", [&to, &from, &numel], numel) };
        y
    }

    /// Where the first element of a tensor that is stored so lies.
    pub(super) fn address<T: Element>(self, x: &TensorOf<T>) -> u64 {
        match x.bf16_address() {
            Some(start) if self == BF16 => start,
            _ => address(x),
        }
    }
}
