//! Sums over the channels of a convolution's result, computed in its epilogue for the batch normalization of that result.
//! They are attached to the result's buffer until it is written to.

use super::context::Gpu;
use super::memory::Block;
use crate::layout::Layout;
use crate::scalar::Scalar;

/// Sums over stretches of each channel's elements.
pub(crate) struct ChannelStats {
    /// The sum of each stretch, and the sum of squared deviations from its mean: (2, stretches, C).
    sums: Block,
    /// The number of stretches, and the elements of a stretch; the last one may have fewer.
    pub(crate) stretches: usize,
    pub(crate) length: usize,
    /// The layout of the summed elements.
    pub(crate) layout: Layout,
}

impl ChannelStats {
    /// Uninitialized sums of elements of type `T` with this layout (N,C,…), for a kernel to write.
    pub(crate) fn new<T: Scalar>(gpu: &'static Gpu, layout: Layout, stretches: usize, length: usize) -> Self {
        let sums = gpu.allocate(2 * stretches * layout.shape()[1] * size_of::<T>());
        Self { sums, stretches, length, layout }
    }

    /// The address of the sums.
    pub(crate) fn address(&self) -> u64 {
        self.sums.address()
    }
}
