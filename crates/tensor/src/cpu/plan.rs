//! The iteration order of a kernel over its operands: the fewest and longest runs that visit every element once.

#![expect(
    clippy::inline_always,
    reason = "loops are vectorized only where they are inlined into a variant of `dispatch`"
)]

use std::ops::Range;

use crate::axes::Axes;
use crate::layout::Layout;
use crate::shape::{MAX_RANK, Shape};

/// A walk over N operands of one shape (broadcast axes have stride 0), in the memory order of the first operand.
///
/// Adjacent axes with a common stride in every operand are merged, so that tensors of equal dense layouts are a single run.
/// A plan does not allocate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<const N: usize> {
    /// The lengths of the outer axes, outermost first.
    outer: [usize; MAX_RANK],
    outer_rank: usize,
    outer_strides: [[isize; N]; MAX_RANK],
    /// The length of a run.
    run: usize,
    run_strides: [isize; N],
    offsets: [isize; N],
    numel: usize,
}

impl<const N: usize> Plan<N> {
    /// The walk over these operands; each already has `shape`.
    pub(crate) fn new(shape: Shape, operands: [&Layout; N]) -> Self {
        if operands.iter().all(|layout| layout.is_contiguous()) {
            return Self::flat(shape.numel(), operands.map(|layout| layout.offset() as isize));
        }
        let (order, rank) = operands[0].memory_order();
        Self::in_order(shape, &order[..rank], operands)
    }

    /// The walk over contiguous operands: one run.
    #[inline]
    fn flat(numel: usize, offsets: [isize; N]) -> Self {
        Self {
            outer: [1; MAX_RANK],
            outer_rank: 0,
            outer_strides: [[0; N]; MAX_RANK],
            run: numel,
            run_strides: [1; N],
            offsets,
            numel,
        }
    }

    /// The walk with the axes in the given order, outermost first; other axes stay at index 0.
    pub(crate) fn in_order(shape: Shape, order: &[usize], operands: [&Layout; N]) -> Self {
        debug_assert!(operands.iter().all(|layout| layout.shape() == shape));
        let axes = order.iter().map(|&axis| (shape[axis], operands.map(|layout| layout.strides()[axis])));
        let Axes { lengths, strides, rank, numel } = Axes::merged(axes);
        let outer_rank = rank.saturating_sub(1);
        // Without axes there is one run of one element; its stride is 1 so that fast paths apply.
        let (run, run_strides) = if rank == 0 { (1, [1; N]) } else { (lengths[outer_rank], strides[outer_rank]) };
        let offsets = std::array::from_fn(|i| operands[i].offset() as isize);
        Self { outer: lengths, outer_rank, outer_strides: strides, run, run_strides, offsets, numel }
    }

    /// The number of elements.
    pub(crate) fn numel(&self) -> usize {
        self.numel
    }

    /// The length of a run.
    pub(crate) fn run(&self) -> usize {
        self.run
    }

    /// The stride within a run, for each operand.
    pub(crate) fn run_strides(&self) -> [isize; N] {
        self.run_strides
    }

    /// The position of element `i` of the walk in each operand.
    #[inline(always)]
    pub(crate) fn position(&self, i: usize) -> [isize; N] {
        self.locate(i).0
    }

    /// The positions of element `i`, its index in its run, and the index of the run along each outer axis.
    #[inline(always)]
    fn locate(&self, i: usize) -> ([isize; N], usize, [usize; MAX_RANK]) {
        let mut index = [0; MAX_RANK];
        let mut at = self.offsets;
        let (mut row, within) = (i / self.run, i % self.run);
        for axis in (0..self.outer_rank).rev() {
            index[axis] = row % self.outer[axis];
            row /= self.outer[axis];
            for (at, step) in at.iter_mut().zip(self.outer_strides[axis]) {
                *at += index[axis] as isize * step;
            }
        }
        for (at, step) in at.iter_mut().zip(self.run_strides) {
            *at += within as isize * step;
        }
        (at, within, index)
    }

    /// Calls `body` with the positions and the length of each run, or part of a run, in the elements `range`.
    #[inline(always)]
    pub(crate) fn for_runs(&self, range: Range<usize>, mut body: impl FnMut([isize; N], usize)) {
        if range.is_empty() {
            return;
        }
        let (mut at, within, mut index) = self.locate(range.start);
        let mut left = range.len();
        let mut len = (self.run - within).min(left);
        // From the partial run at the front back to its start.
        let mut back = within as isize;
        loop {
            body(at, len);
            left -= len;
            if left == 0 {
                return;
            }
            for (at, step) in at.iter_mut().zip(self.run_strides) {
                *at -= back * step;
            }
            back = 0;
            len = self.run.min(left);
            for axis in (0..self.outer_rank).rev() {
                index[axis] += 1;
                let wraps = index[axis] == self.outer[axis];
                let steps = if wraps { 1 - self.outer[axis] as isize } else { 1 };
                for (at, step) in at.iter_mut().zip(self.outer_strides[axis]) {
                    *at += steps * step;
                }
                if !wraps {
                    break;
                }
                index[axis] = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All positions in the order of the walk, with runs split at arbitrary elements.
    fn visited(plan: &Plan<2>, piece: usize) -> Vec<[isize; 2]> {
        let mut seen = Vec::new();
        let steps = plan.run_strides();
        for start in (0..plan.numel()).step_by(piece) {
            plan.for_runs(start..(start + piece).min(plan.numel()), |at, len| {
                seen.extend((0..len as isize).map(|k| [at[0] + k * steps[0], at[1] + k * steps[1]]));
            });
        }
        seen
    }

    /// The positions of all indices, sorted.
    fn expected(shape: Shape, a: &Layout, b: &Layout) -> Vec<[isize; 2]> {
        let mut all = Vec::new();
        for i in 0..shape.numel() {
            let mut index = vec![0; shape.rank()];
            let mut rest = i;
            for axis in (0..shape.rank()).rev() {
                index[axis] = rest % shape[axis];
                rest /= shape[axis];
            }
            all.push([a.position(&index) as isize, b.position(&index) as isize]);
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn every_element_is_visited_once() {
        let shape = Shape::from([2, 3, 4, 5]);
        let plain = Layout::contiguous(shape);
        let last = Layout::dense(shape, &[0, 2, 3, 1]);
        let column = Layout::contiguous([1, 3, 1, 1].into()).broadcast_to(shape).unwrap();
        let wide = Layout::contiguous([2, 3, 4, 11].into());
        let sliced = wide.slice(3, 10, 5, -2).unwrap();
        for a in [plain, last, sliced] {
            for b in [plain, last, column, sliced] {
                let plan = Plan::new(shape, [&a, &b]);
                assert_eq!(plan.numel(), 120);
                for piece in [1, 7, 64, 120] {
                    let mut seen = visited(&plan, piece);
                    assert_eq!(plan.position(17), seen[17]);
                    seen.sort_unstable();
                    assert_eq!(seen, expected(shape, &a, &b), "{a:?} {b:?} {piece}");
                }
            }
        }
    }

    #[test]
    fn equal_dense_layouts_are_one_run() {
        let shape = Shape::from([2, 3, 4, 5]);
        let last = Layout::dense(shape, &[0, 2, 3, 1]);
        assert_eq!(Plan::new(shape, [&last, &last]).run(), 120);
        let row = Layout::contiguous([5].into()).broadcast_to(shape).unwrap();
        assert_eq!(Plan::new(shape, [&Layout::contiguous(shape), &row]).run(), 5);
    }

    #[test]
    fn scalars_and_empty_shapes() {
        let scalar = Layout::contiguous(().into());
        let plan = Plan::new(().into(), [&scalar, &scalar]);
        assert_eq!(visited(&plan, 1), [[0, 0]]);
        let empty = Layout::contiguous([3, 0, 2].into());
        assert_eq!(visited(&Plan::new([3, 0, 2].into(), [&empty, &empty]), 1), [] as [[isize; 2]; 0]);
    }
}
