//! Methods for every element type.

use super::{check_index, keep, marks, not_empty};
use crate::element::Element;
use crate::error::OrPanic;
use crate::kernel::{Compare, ElementKernels};
use crate::layout::Layout;
use crate::shape::Shape;
use crate::shape_rules;
use crate::tensor::TensorOf;

impl<T: Element> TensorOf<T> {
    /// 1 where `a op b`, else 0; operands broadcast.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    pub fn compare(&self, op: Compare, b: &Self) -> TensorOf<u8> {
        shape_rules::broadcast("compare", self.shape(), b.shape()).or_panic();
        T::compare(op, self, b)
    }

    /// `self` where the mask is not 0, else `b`; all three broadcast (`torch.where`).
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    #[must_use]
    pub fn select(&self, mask: &TensorOf<u8>, b: &Self) -> Self {
        let ab = shape_rules::broadcast("where", self.shape(), b.shape()).or_panic();
        shape_rules::broadcast("where", mask.shape(), ab).or_panic();
        T::select(mask, self, b)
    }

    /// The elements as `f32`.
    pub fn to_f32(&self) -> TensorOf<f32> {
        ElementKernels::to_f32(self)
    }

    /// The elements as `f64`.
    pub fn to_f64(&self) -> TensorOf<f64> {
        ElementKernels::to_f64(self)
    }

    /// The elements as `i32`, rounded towards zero.
    pub fn to_i32(&self) -> TensorOf<i32> {
        ElementKernels::to_i32(self)
    }

    /// The elements as `u8`, rounded towards zero and clamped to 0..=255.
    pub fn to_u8(&self) -> TensorOf<u8> {
        ElementKernels::to_u8(self)
    }

    /// The elements as another type, rounded as by `to_f32`, `to_f64`, `to_i32` or `to_u8`.
    pub fn cast<U: Element>(&self) -> TensorOf<U> {
        U::cast(self)
    }

    /// The maximum along some axes (negative axes count from the last, none means all). NaN propagates.
    ///
    /// # Panics
    /// If an axis is out of range or there are no elements.
    #[track_caller]
    #[must_use]
    pub fn max(&self, axes: &[isize], keepdim: bool) -> Self {
        not_empty("max", self);
        let marked = marks("max", self.shape(), axes);
        keep(ElementKernels::max(self, &marked[..self.rank()]), &marked, keepdim)
    }

    /// The minimum along some axes (negative axes count from the last, none means all). NaN propagates.
    ///
    /// # Panics
    /// If an axis is out of range or there are no elements.
    #[track_caller]
    #[must_use]
    pub fn min(&self, axes: &[isize], keepdim: bool) -> Self {
        not_empty("min", self);
        let marked = marks("min", self.shape(), axes);
        keep(ElementKernels::min(self, &marked[..self.rank()]), &marked, keepdim)
    }

    /// The index of the first maximum along an axis, which is removed; of the first NaN, if there is one.
    ///
    /// # Panics
    /// If the axis is out of range or there are no elements.
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> TensorOf<i32> {
        not_empty("argmax", self);
        let axis = self.axis("argmax", axis);
        T::argmax(self, axis).squeeze(axis as isize)
    }

    /// The `k` largest elements along an axis, in descending order, and their indices; equal elements keep their order.
    ///
    /// # Panics
    /// If the axis is out of range or has fewer than `k` elements.
    #[track_caller]
    pub fn topk(&self, k: usize, axis: isize) -> (Self, TensorOf<i32>) {
        let axis = self.axis("topk", axis);
        let len = self.shape()[axis];
        assert!(
            k <= len,
            "topk: the {k} largest of {len} elements\n  x = {}\n  rule: k ≤ x.shape[{axis}]",
            self.shape()
        );
        T::topk(self, k, axis)
    }

    /// `y[.., i, ..] = x[.., index[.., i, ..], ..]` along an axis; `index` has x's shape except along the axis (`torch.gather`).
    ///
    /// # Panics
    /// If the shapes do not match or an index is out of range.
    #[track_caller]
    #[must_use]
    pub fn gather(&self, axis: isize, index: &TensorOf<i32>) -> Self {
        let axis = self.axis("gather", axis);
        shape_rules::gather("gather", self.shape(), axis, index.shape()).or_panic();
        check_index("gather", index, self.shape()[axis]);
        T::gather(self, axis, index)
    }

    /// Concatenates tensors along an axis.
    ///
    /// # Panics
    /// If there are none, or two differ along another axis.
    #[track_caller]
    pub fn concat(parts: &[&Self], axis: isize) -> Self {
        let shapes: Vec<Shape> = parts.iter().map(|part| part.shape()).collect();
        let layout = Layout::contiguous(shape_rules::concat(&shapes, axis).or_panic());
        let mut out: Self = parts[0].uninitialized_like(layout);
        let mut start = 0;
        for part in parts {
            let len = part.shape()[out.axis("concat", axis)];
            out.assign(axis, start..start + len, part);
            start += len;
        }
        out
    }

    /// Pads the tensor with `value`: `widths[axis]` = (before, after).
    ///
    /// # Panics
    /// If there is not one pair per axis.
    #[track_caller]
    #[must_use]
    pub fn pad(&self, widths: &[(usize, usize)], value: T) -> Self {
        let shape = self.shape();
        shape_rules::arrange::pad(shape, widths).or_panic();
        let wide: Vec<usize> = shape.iter().zip(widths).map(|(n, (before, after))| before + n + after).collect();
        let mut out = Self::full_on(self.device(), wide, value);
        out.assign_box(widths, self);
        out
    }
}
