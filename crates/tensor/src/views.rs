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
    /// The same elements in row-major order in memory; this very tensor if they lie so already.
    #[must_use]
    pub fn contiguous(&self) -> Self {
        self.in_order(&Layout::contiguous(self.shape()))
    }

    /// The same elements without gaps, axes keeping their order in memory.
    #[must_use]
    pub fn dense(&self) -> Self {
        self.in_order(&self.layout().dense_like())
    }

    /// An image batch (N,C,H,W) with the channels of a pixel side by side in memory. The logical order stays.
    ///
    /// # Panics
    /// If there are not four axes.
    #[must_use]
    #[track_caller]
    pub fn channels_last(&self) -> Self {
        assert!(self.rank() == 4, "channels_last: an image batch has four axes, (N,C,H,W), not {}", self.shape());
        self.in_order(&MemoryFormat::ChannelsLast.layout(self.shape()))
    }

    fn in_order(&self, layout: &Layout) -> Self {
        if self.layout().same_places(layout) {
            return self.clone();
        }
        let mut out = self.uninitialized_as_stored(*layout);
        T::copy(&mut out, self);
        out
    }

    /// Another shape over the same elements in row-major order; copies only where strides cannot express it.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[must_use]
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert!(
            shape.numel() == self.numel(),
            "reshape: {} elements do not fill {shape}, which has {}\n  x = {}\n  rule: the number of elements stays",
            self.numel(),
            shape.numel(),
            self.shape()
        );
        match self.layout().reshape(shape) {
            Some(layout) => self.view(layout),
            None => self.contiguous().reshape(shape),
        }
    }

    /// The axes in another order: axis `i` of the result is axis `order[i]` of this tensor.
    ///
    /// # Panics
    /// If `order` is not a permutation of the axes.
    #[must_use]
    #[track_caller]
    pub fn permute(&self, order: &[usize]) -> Self {
        self.view(self.layout().permute(order).or_panic())
    }

    /// Two axes exchanged; negative numbers count from the last.
    ///
    /// # Panics
    /// If there is no such axis.
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
    /// If there is no such axis or an element would lie outside of it.
    #[must_use]
    #[track_caller]
    pub fn slice(&self, axis: isize, start: usize, len: usize, step: isize) -> Self {
        let axis = self.axis("slice", axis);
        self.view(self.layout().slice(axis, start, len, step).or_panic())
    }

    /// Elements `range` of an axis.
    ///
    /// # Panics
    /// If there is no such axis or the range reaches beyond it.
    #[must_use]
    #[track_caller]
    pub fn narrow(&self, axis: isize, range: Range<usize>) -> Self {
        self.slice(axis, range.start, range.len(), 1)
    }

    /// Axes of length 1 repeated and axes added in front, without copying.
    ///
    /// # Panics
    /// If an axis is neither 1 nor the length asked for.
    #[must_use]
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Self {
        self.view(self.layout().broadcast_to(shape.into()).or_panic())
    }

    /// Without the axis, which has length 1.
    ///
    /// # Panics
    /// If the axis is missing or longer.
    #[must_use]
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Self {
        let axis = self.axis("squeeze", axis);
        let shape = self.shape();
        assert!(shape[axis] == 1, "squeeze: axis {axis} of {shape} has length {}, not 1", shape[axis]);
        self.reshape([&shape[..axis], &shape[axis + 1..]].concat())
    }

    /// With an axis of length 1 added in front of `axis`; −1 adds one at the end.
    ///
    /// # Panics
    /// If there is no such place.
    #[must_use]
    #[track_caller]
    pub fn unsqueeze(&self, axis: isize) -> Self {
        let shape = self.shape();
        let with_one = Shape::new(&vec![1; shape.rank() + 1]);
        let axis = shape_rules::axis("unsqueeze", with_one, axis).or_panic();
        self.reshape([&shape[..axis], &[1], &shape[axis..]].concat())
    }

    /// All axes from `axis` on made one, in row-major order: (N,C,H,W) from axis 1 is (N, C·H·W).
    ///
    /// # Panics
    /// If there is no such axis.
    #[must_use]
    #[track_caller]
    pub fn flatten(&self, axis: isize) -> Self {
        let axis = self.axis("flatten", axis);
        let shape = self.shape();
        self.reshape([&shape[..axis], &[shape[axis..].iter().product()]].concat())
    }

    /// The axis with this number; negative ones count from the last.
    #[track_caller]
    pub(crate) fn axis(&self, op: &str, axis: isize) -> usize {
        shape_rules::axis(op, self.shape(), axis).or_panic()
    }

    /// Writes `x`, broadcast, into elements `range` of an axis; copies first if the storage is shared.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn assign(&mut self, axis: isize, range: Range<usize>, x: &Self) {
        let axis = self.axis("assign", axis);
        self.write(x, |whole| whole.slice(axis, range.start, range.len(), 1).or_panic());
    }

    /// Writes `x` into elements `start`, `start + step`, … of an axis, as many as `x` has along it; copies first if the
    /// storage is shared.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn assign_slice(&mut self, axis: isize, start: usize, step: isize, x: &Self) {
        let axis = self.axis("assign_slice", axis);
        self.write(x, |whole| whole.slice(axis, start, x.shape()[axis], step).or_panic());
    }

    /// Writes `x`, broadcast, into the elements, in place where nobody else holds the storage.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn copy_from(&mut self, x: &Self) {
        self.write(x, |whole| *whole);
    }

    /// Sets every element to `value`, in place where nobody else holds the storage.
    pub fn fill(&mut self, value: T) {
        self.make_own();
        T::copy(self, &Self::scalar(value));
    }

    /// Writes `x` into the middle of this tensor, `margins[axis]` = (before, after) elements being left as they are.
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

    /// Writes `x`, broadcast, into the part that `part` cuts out of the layout.
    #[track_caller]
    fn write(&mut self, x: &Self, part: impl FnOnce(&Layout) -> Layout) {
        self.make_own();
        let whole = *self.layout();
        let part = part(&whole);
        x.layout().broadcast_to(part.shape()).or_panic();
        // The storage is this tensor's alone now: it is lent to a view of the part and taken back.
        self.set_layout(part);
        T::copy(self, x);
        self.set_layout(whole);
    }
}
