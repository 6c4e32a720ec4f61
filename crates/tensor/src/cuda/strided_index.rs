//! Strided iteration: how a kernel indexes operands of any strides.

use crate::axes::Axes;
use crate::gpu::launch::{Argument, checked};
use crate::layout::Layout;
use crate::shape::{MAX_RANK, Shape};

/// `Walk` of `kernels/cuda/prelude.cuh`: the lengths of the axes, outermost first, and each operand's strides.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Walk<const OPERANDS: usize> {
    pub(super) numel: u32,
    pub(super) rank: i32,
    length: [u32; MAX_RANK],
    stride: [[i64; MAX_RANK]; OPERANDS],
}

// SAFETY: the same fields of the same sizes in the same order; i64 is aligned to 8 on both sides.
unsafe impl<const OPERANDS: usize> Argument for Walk<OPERANDS> {}

impl<const OPERANDS: usize> Walk<OPERANDS> {
    /// A walk over the elements of `shape` with its axes in `order`; operands are broadcast to `shape`.
    pub(super) fn new(shape: Shape, order: &[usize], operands: [&Layout; OPERANDS]) -> Self {
        let operands = operands.map(|layout| layout.broadcast_to(shape).expect("shapes were checked"));
        let axes = order.iter().map(|&axis| (shape[axis], operands.each_ref().map(|layout| layout.strides()[axis])));
        Self::of_axes(axes)
    }

    /// A walk over axes, each with its length and the operands' strides.
    pub(super) fn of_axes(axes: impl Iterator<Item = (usize, [isize; OPERANDS])>) -> Self {
        let axes = Axes::merged(axes);
        Self {
            numel: checked(axes.numel),
            rank: axes.rank as i32,
            length: axes.lengths.map(|length| length as u32),
            stride: std::array::from_fn(|k| axes.strides.map(|strides| strides[k] as i64)),
        }
    }

    /// Its axes, each with its length and the operands' strides.
    pub(super) fn axes(&self) -> Vec<(usize, [isize; OPERANDS])> {
        let axis = |axis: usize| (self.length[axis] as usize, self.stride.map(|strides| strides[axis] as isize));
        (0..self.rank as usize).map(axis).collect()
    }
}

/// The layout of an elementwise result: the order of axes in memory is that of the first operand that has its shape.
pub(super) fn result_layout(shape: Shape, operands: &[&Layout]) -> Layout {
    let whole = operands.iter().find(|layout| layout.shape() == shape && !layout.repeats());
    whole.map_or_else(|| Layout::contiguous(shape), |layout| layout.dense_like())
}

/// The axes of a dense layout from outermost to innermost in memory.
pub(super) fn order_of(layout: &Layout) -> Vec<usize> {
    let (order, rank) = layout.memory_order();
    order[..rank].to_vec()
}
