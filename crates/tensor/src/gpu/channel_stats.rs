//! Sums over the channels of a convolution's result, found while it was in registers, for the batch normalization of that
//! result: they stay with its buffer until somebody writes to it.

use super::context::Gpu;
use super::memory::Block;
use crate::layout::Layout;
use crate::scalar::Scalar;

/// Sums over stretches of each channel's elements.
pub(crate) struct ChannelStats {
    /// The stretches' sums, and the sums of their squared deviations from the stretch's mean: (2, stretches, C).
    sums: Block,
    /// How many stretches there are, and the elements of one; the last may have fewer.
    pub(crate) stretches: usize,
    pub(crate) length: usize,
    /// Where the elements lie that were summed up.
    pub(crate) layout: Layout,
}

impl ChannelStats {
    /// Room for the sums of elements of type `T` that lie so (N,C,…), for a kernel to write.
    pub(crate) fn new<T: Scalar>(gpu: &'static Gpu, layout: Layout, stretches: usize, length: usize) -> Self {
        let sums = gpu.allocate(2 * stretches * layout.shape()[1] * size_of::<T>());
        Self { sums, stretches, length, layout }
    }

    /// Where the sums are.
    pub(crate) fn address(&self) -> u64 {
        self.sums.address()
    }
}
