//! Views of a tensor, and writing into parts of one.

use std::ops::Range;

use crate::element::Element;
use crate::error::OrPanic;
use crate::layout::Layout;
use crate::memory_format::MemoryFormat;
use crate::shape::{MAX_RANK, Shape};
use crate::shape_rules;
use crate::tensor::TensorOf;

impl<T: Element> TensorOf<T> {
    /// The same elements contiguous in row-major order; the same tensor if they already are.
    #[must_use]
    pub fn contiguous(&self) -> Self {
        self.in_order(&Layout::contiguous(self.shape()))
    }

    /// The same elements without gaps, with the same memory order of axes.
    #[must_use]
    pub fn dense(&self) -> Self {
        self.in_order(&self.layout().dense_like())
    }

    /// An image batch (N,C,H,W) in channels-last memory format: the channels of a pixel are contiguous. The logical order is
    /// unchanged.
    ///
    /// # Panics
    /// If there are not exactly four axes.
    #[must_use]
    #[track_caller]
    pub fn channels_last(&self) -> Self {
        assert!(self.rank() == 4, "channels_last: an image batch has four axes, (N,C,H,W), not {}", self.shape());
        self.in_order(&MemoryFormat::ChannelsLast.layout(self.shape()))
    }

    fn in_order(&self, layout: &Layout) -> Self {
        if self.layout().same_strides(layout) {
            return self.clone();
        }
        let mut out = self.uninitialized_as_stored(*layout);
        T::copy(&mut out, self);
        out
    }

    /// Another shape over the same elements in row-major order; copies only if strides cannot express it.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[must_use]
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert!(
            shape.numel() == self.numel(),
            "reshape: {} elements cannot become {shape}, which has {}\n  x = {}\n  rule: the number of elements is unchanged",
            self.numel(),
            shape.numel(),
            self.shape()
        );
        match self.layout().reshape(shape) {
            Some(layout) => self.view(layout),
            None => self.contiguous().reshape(shape),
        }
    }

    /// Permutes the axes: axis `i` of the result is axis `order[i]` of this tensor.
    ///
    /// # Panics
    /// If `order` is not a permutation of the axes.
    #[must_use]
    #[track_caller]
    pub fn permute(&self, order: &[usize]) -> Self {
        self.view(self.layout().permute(order).or_panic())
    }

    /// Swaps two axes; negative axes count from the last.
    ///
    /// # Panics
    /// If the axis is out of range.
    #[must_use]
    #[track_caller]
    pub fn transpose(&self, a: isize, b: isize) -> Self {
        let (a, b) = (self.axis("transpose", a), self.axis("transpose", b));
        let mut order: [usize; MAX_RANK] = std::array::from_fn(|axis| axis);
        order.swap(a, b);
        self.permute(&order[..self.rank()])
    }

    /// `len` elements of an axis: `start`, `start + step`, …; a negative step walks backwards.
    ///
    /// # Panics
    /// If the axis or an element is out of range.
    #[must_use]
    #[track_caller]
    pub fn slice(&self, axis: isize, start: usize, len: usize, step: isize) -> Self {
        let axis = self.axis("slice", axis);
        self.view(self.layout().slice(axis, start, len, step).or_panic())
    }

    /// Elements `range` of an axis.
    ///
    /// # Panics
    /// If the axis or the range is out of bounds.
    #[must_use]
    #[track_caller]
    pub fn narrow(&self, axis: isize, range: Range<usize>) -> Self {
        self.slice(axis, range.start, range.len(), 1)
    }

    /// Broadcasts to a shape: repeats axes of length 1 and adds leading axes, without copying.
    ///
    /// # Panics
    /// If an axis is neither 1 nor the requested length.
    #[must_use]
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Self {
        self.view(self.layout().broadcast_to(shape.into()).or_panic())
    }

    /// Removes an axis of length 1.
    ///
    /// # Panics
    /// If the axis is out of range or its length is not 1.
    #[must_use]
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Self {
        let axis = self.axis("squeeze", axis);
        let shape = self.shape();
        assert!(shape[axis] == 1, "squeeze: axis {axis} of {shape} has length {}, not 1", shape[axis]);
        self.reshape([&shape[..axis], &shape[axis + 1..]].concat())
    }

    /// Inserts an axis of length 1 before `axis`; −1 appends one at the end.
    ///
    /// # Panics
    /// If the axis is out of range.
    #[must_use]
    #[track_caller]
    pub fn unsqueeze(&self, axis: isize) -> Self {
        let shape = self.shape();
        let with_one = Shape::new(&vec![1; shape.rank() + 1]);
        let axis = shape_rules::axis("unsqueeze", with_one, axis).or_panic();
        self.reshape([&shape[..axis], &[1], &shape[axis..]].concat())
    }

    /// Merges all axes from `axis` on, in row-major order: (N,C,H,W) from axis 1 is (N, C·H·W).
    ///
    /// # Panics
    /// If the axis is out of range.
    #[must_use]
    #[track_caller]
    pub fn flatten(&self, axis: isize) -> Self {
        let axis = self.axis("flatten", axis);
        let shape = self.shape();
        self.reshape([&shape[..axis], &[shape[axis..].iter().product()]].concat())
    }

    /// Resolves an axis; a negative axis counts from the last.
    #[track_caller]
    pub(crate) fn axis(&self, op: &str, axis: isize) -> usize {
        shape_rules::axis(op, self.shape(), axis).or_panic()
    }

    /// Writes `x`, broadcast, into elements `range` of an axis; copies first if the storage is shared.
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    pub fn assign(&mut self, axis: isize, range: Range<usize>, x: &Self) {
        let axis = self.axis("assign", axis);
        self.write(x, |whole| whole.slice(axis, range.start, range.len(), 1).or_panic());
    }

    /// Writes `x` into elements `start`, `start + step`, … of an axis, as many as `x` has along it; copies first if the
    /// storage is shared.
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    pub fn assign_slice(&mut self, axis: isize, start: usize, step: isize, x: &Self) {
        let axis = self.axis("assign_slice", axis);
        self.write(x, |whole| whole.slice(axis, start, x.shape()[axis], step).or_panic());
    }

    /// Writes `x`, broadcast, into the elements; in place if the storage is exclusive.
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    pub fn copy_from(&mut self, x: &Self) {
        self.write(x, |whole| *whole);
    }

    /// Sets every element to `value`; in place if the storage is exclusive.
    pub fn fill(&mut self, value: T) {
        self.make_own();
        T::copy(self, &Self::scalar(value));
    }

    /// Writes `x` into the interior of this tensor; `margins[axis]` = (before, after) elements are unchanged.
    #[track_caller]
    pub(crate) fn assign_box(&mut self, margins: &[(usize, usize)], x: &Self) {
        let shape = x.shape();
        self.write(x, |whole| {
            let cut = |layout: Layout, (axis, &(before, _)): (usize, &(usize, usize))| {
                layout.slice(axis, before, shape[axis], 1).or_panic()
            };
            margins.iter().enumerate().fold(*whole, cut)
        });
    }

    /// Writes `x`, broadcast, into the part of the layout that `part` selects.
    #[track_caller]
    fn write(&mut self, x: &Self, part: impl FnOnce(&Layout) -> Layout) {
        self.make_own();
        let whole = *self.layout();
        let part = part(&whole);
        x.layout().broadcast_to(part.shape()).or_panic();
        // The storage is exclusive now: move it into a view of the part and back.
        self.set_layout(part);
        T::copy(self, x);
        self.set_layout(whole);
    }
}
