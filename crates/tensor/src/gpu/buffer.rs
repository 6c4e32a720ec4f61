//! The elements of a tensor on a device: a block, in which they may be stored as bf16.

use std::marker::PhantomData;
use std::sync::OnceLock;

use super::context::Gpu;
use super::memory::Block;
use crate::scalar::Scalar;

/// A buffer of elements on a device.
pub(crate) struct CudaBuffer<T> {
    block: Block,
    /// If the elements are stored as bf16: how many there are, and all of them as `f32` once a kernel has asked for them.
    bf16: Option<(usize, OnceLock<Block>)>,
    element: PhantomData<T>,
}

// SAFETY: the buffer owns its block; an address is a number.
unsafe impl<T: Scalar> Send for CudaBuffer<T> {}
// SAFETY: as above.
unsafe impl<T: Scalar> Sync for CudaBuffer<T> {}

impl<T: Scalar> CudaBuffer<T> {
    /// A buffer of `len` elements that holds whatever its block held before.
    pub(crate) fn new(gpu: &'static Gpu, len: usize) -> Self {
        Self { block: gpu.allocate(len * size_of::<T>()), bf16: None, element: PhantomData }
    }

    /// A buffer of `len` elements stored as bf16.
    pub(crate) fn new_bf16(gpu: &'static Gpu, len: usize) -> Self {
        Self { block: gpu.allocate(len * size_of::<u16>()), bf16: Some((len, OnceLock::new())), element: PhantomData }
    }
}

impl<T> CudaBuffer<T> {
    /// Where it begins, in the elements' own type: what is stored as bf16 is widened at the first call.
    pub(crate) fn address(&self) -> u64 {
        match &self.bf16 {
            None => self.block.address(),
            Some((len, wide)) => {
                // The device's lock first: a thread that holds it may need the same copy.
                let _lock = self.gpu().enter();
                wide.get_or_init(|| self.gpu().widen(self.block.address(), *len)).address()
            }
        }
    }

    /// Whether the elements are stored as bf16.
    pub(crate) fn is_bf16(&self) -> bool {
        self.bf16.is_some()
    }

    /// Where it begins as bf16, if it is stored so.
    pub(crate) fn bf16_address(&self) -> Option<u64> {
        self.bf16.as_ref().map(|_| self.block.address())
    }

    /// The device that it lies on.
    #[inline]
    pub(crate) fn gpu(&self) -> &'static Gpu {
        self.block.gpu()
    }
}
