//! Conversion between `f32` and bf16, the upper half of an `f32`.

use chainrule_kernels::Family;

use super::context::Gpu;
use super::launch::{Argument, Grid, checked};
use super::memory::Block;

impl Gpu {
    /// A block with the `f32` values of bf16 elements.
    pub(crate) fn widen(&'static self, from: u64, len: usize) -> Block {
        let block = self.allocate(len * size_of::<f32>());
        let (to, numel) = (block.address(), checked(len));
        // SAFETY: the block has space for `len` elements.
        unsafe { self.convert("widen", [&to, &from, &numel], numel) };
        block
    }

    /// # Safety
    /// As for [`Gpu::launch`].
    pub(crate) unsafe fn convert(&self, name: &'static str, arguments: [&dyn Argument; 3], numel: u32) {
        // SAFETY: promised by the caller.
        unsafe { self.launch(Family::Elementwise, (name, "bf16"), Grid::elements(numel as usize), arguments) }
    }
}
