//! The buffer of a tensor on a device, in which elements may be stored as bf16.

use std::marker::PhantomData;
use std::sync::OnceLock;

use super::channel_stats::ChannelStats;
use super::context::Gpu;
use super::memory::Block;
use crate::layout::Layout;
use crate::scalar::Scalar;

/// A buffer of elements on a device.
pub(crate) struct CudaBuffer<T> {
    block: Block,
    /// If the elements are stored as bf16: their number, and an `f32` copy, made when a kernel first requests it.
    bf16: Option<(usize, OnceLock<Block>)>,
    /// Sums over the channels of the current contents, if a kernel attached them.
    stats: Option<Box<ChannelStats>>,
    element: PhantomData<T>,
}

// SAFETY: the buffer owns its block; an address is a number.
unsafe impl<T: Scalar> Send for CudaBuffer<T> {}
// SAFETY: as above.
unsafe impl<T: Scalar> Sync for CudaBuffer<T> {}

impl<T: Scalar> CudaBuffer<T> {
    /// A buffer of `len` elements with unspecified values.
    pub(crate) fn new(gpu: &'static Gpu, len: usize) -> Self {
        Self { block: gpu.allocate(len * size_of::<T>()), bf16: None, stats: None, element: PhantomData }
    }

    /// A buffer of `len` elements stored as bf16.
    pub(crate) fn new_bf16(gpu: &'static Gpu, len: usize) -> Self {
        Self {
            block: gpu.allocate(len * size_of::<u16>()),
            bf16: Some((len, OnceLock::new())),
            stats: None,
            element: PhantomData,
        }
    }
}

impl<T> CudaBuffer<T> {
    /// The address of the elements in their own type: a bf16 buffer is converted to `f32` at the first call.
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

    /// Attaches sums over the channels of the elements that a kernel has written.
    pub(crate) fn attach(&mut self, stats: ChannelStats) {
        self.stats = Some(Box::new(stats));
    }

    /// The attached sums over the channels, if they are those of this layout.
    pub(crate) fn channel_stats(&self, layout: &Layout) -> Option<&ChannelStats> {
        self.stats.as_deref().filter(|stats| stats.layout == *layout)
    }

    /// Discards the attached sums, since the elements are about to be written.
    pub(crate) fn forget(&mut self) {
        self.stats = None;
    }

    /// Whether the elements are stored as bf16.
    pub(crate) fn is_bf16(&self) -> bool {
        self.bf16.is_some()
    }

    /// The address of the bf16 elements, if they are stored as bf16.
    pub(crate) fn bf16_address(&self) -> Option<u64> {
        self.bf16.as_ref().map(|_| self.block.address())
    }

    /// The device of the buffer.
    #[inline]
    pub(crate) fn gpu(&self) -> &'static Gpu {
        self.block.gpu()
    }
}
