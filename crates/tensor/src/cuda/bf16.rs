//! Activations stored as bf16, the upper half of `f32`: half the memory and half the traffic.
//!
//! bf16 is not an element type: such a tensor is a [`Tensor`](crate::Tensor), and only kernels see the difference.
//! Convolutions and linear layers produce bf16 if [`Precision::Bf16`](super::Precision) is set. The kernels that dominate
//! the training time read and write bf16 directly; for all others a tensor is converted to `f32`, once per tensor.

use crate::element::Element;
use crate::gpu::launch::checked;
use crate::gpu::{CudaBuffer, Gpu};
use crate::layout::Layout;
use crate::tensor::{TensorOf, address};

/// How a kernel's activations are stored, as the name of the kernel's variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored(pub(super) &'static str);

/// Stored as bf16.
pub(super) const BF16: Stored = Stored("bf16");

impl Stored {
    /// The storage of a tensor.
    pub(super) fn like<T: Element>(x: &TensorOf<T>) -> Self {
        if x.is_bf16() { BF16 } else { Self(T::NAME) }
    }

    /// A dense, uninitialized tensor with this storage, for a kernel to write.
    pub(super) fn tensor<T: Element>(self, gpu: &'static Gpu, layout: Layout) -> TensorOf<T> {
        if self == BF16 {
            return TensorOf::on_gpu(layout, CudaBuffer::new_bf16(gpu, layout.numel()));
        }
        gpu.tensor(layout)
    }

    /// The tensor with this storage; converted if necessary.
    pub(super) fn read<T: Element>(self, gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<T> {
        if self != BF16 || x.is_bf16() {
            return x.clone();
        }
        let dense = x.dense();
        let y = self.tensor(gpu, dense.layout().dense_like());
        let (to, from, numel) = (self.address(&y), address(&dense), checked(dense.numel()));
        // SAFETY: both are dense with `numel` elements.
        unsafe { gpu.convert("narrow", [&to, &from, &numel], numel) };
        y
    }

    /// The address of the first element of a tensor with this storage.
    pub(super) fn address<T: Element>(self, x: &TensorOf<T>) -> u64 {
        match x.bf16_address() {
            Some(start) if self == BF16 => start,
            _ => address(x),
        }
    }
}
