//! Methods that rearrange elements. Where strides can express the result, it is a view.

use super::positions;
use crate::element::{Element, Float};
use crate::error::OrPanic;
use crate::kernel::Binary;
use crate::shape::Shape;
use crate::shape_rules::arrange::{self, PadMode};
use crate::tensor::TensorOf;

impl<T: Element> TensorOf<T> {
    /// Tensors of one shape along a new axis: n times (…) → (…, n, …), where n is at `axis` (`torch.stack`).
    ///
    /// # Panics
    /// If there are none, two shapes differ or the axis is out of range.
    #[track_caller]
    pub fn stack(parts: &[&Self], axis: isize) -> Self {
        let shapes: Vec<Shape> = parts.iter().map(|part| part.shape()).collect();
        let axis = arrange::stack(&shapes, axis).or_panic() as isize;
        let parts: Vec<Self> = parts.iter().map(|part| part.unsqueeze(axis)).collect();
        Self::concat(&parts.iter().collect::<Vec<_>>(), axis)
    }

    /// Parts of `size` elements of an axis, of which the last may be shorter (`torch.split`).
    ///
    /// # Panics
    /// If the axis is out of range or the size is 0.
    #[track_caller]
    pub fn split(&self, size: usize, axis: isize) -> Vec<Self> {
        self.split_with_sizes(&arrange::parts_of("split", self.shape(), axis, size).or_panic(), axis)
    }

    /// Parts of an axis with these lengths.
    ///
    /// # Panics
    /// If the axis is out of range or the lengths do not add up to its length.
    #[track_caller]
    pub fn split_with_sizes(&self, sizes: &[usize], axis: isize) -> Vec<Self> {
        let ranges = arrange::split(self.shape(), axis, sizes).or_panic();
        ranges.into_iter().map(|range| self.narrow(axis, range)).collect()
    }

    /// `n` parts of an axis, equal but for the last; fewer if that many are not needed (`torch.chunk`).
    ///
    /// # Panics
    /// If the axis is out of range or there are 0 parts.
    #[track_caller]
    pub fn chunk(&self, n: usize, axis: isize) -> Vec<Self> {
        self.split_with_sizes(&arrange::chunks(self.shape(), axis, n).or_panic(), axis)
    }

    /// The slices of an axis, without it: (…, n, …) → n times (…).
    ///
    /// # Panics
    /// If the axis is out of range.
    #[track_caller]
    pub fn unbind(&self, axis: isize) -> Vec<Self> {
        let len = self.shape()[self.axis("unbind", axis)];
        (0..len).map(|i| self.narrow(axis, i..i + 1).squeeze(axis)).collect()
    }

    /// All elements `times[axis]` times along each axis; more numbers than axes prepend axes (`torch.repeat`, `np.tile`).
    ///
    /// # Panics
    /// If there are fewer numbers than axes.
    #[track_caller]
    #[must_use]
    pub fn repeat(&self, times: &[usize]) -> Self {
        let mut shape = arrange::repeat(self.shape(), times).or_panic();
        let mut y = self.reshape(shape);
        for (axis, &n) in times.iter().enumerate().filter(|&(_, &n)| n != 1) {
            let [before, after]: [usize; 2] = [shape[..axis].iter().product(), shape[axis..].iter().product()];
            shape = shape.with(axis, n * shape[axis]);
            y = y.reshape([before, 1, after]).broadcast_to([before, n, after]).reshape(shape);
        }
        y
    }

    /// `y[…, (i + shift) mod n, …] = x[…, i, …]` for each axis; with no axes, one shift of the flattened tensor
    /// (`torch.roll`).
    ///
    /// # Panics
    /// If an axis is out of range or the numbers of shifts and axes differ.
    #[track_caller]
    #[must_use]
    pub fn roll(&self, shifts: &[isize], axes: &[isize]) -> Self {
        if axes.is_empty() && shifts.len() == 1 {
            return self.reshape(self.numel()).roll(shifts, &[0]).reshape(self.shape());
        }
        let starts = arrange::roll(self.shape(), shifts, axes).or_panic();
        starts.into_iter().fold(self.clone(), |x, (axis, start)| {
            let (len, axis) = (x.shape()[axis], axis as isize);
            Self::concat(&[&x.narrow(axis, start..len), &x.narrow(axis, 0..start)], axis)
        })
    }

    /// The elements of the axes in reverse order, as a view.
    ///
    /// # Panics
    /// If an axis is out of range or given twice.
    #[track_caller]
    #[must_use]
    pub fn flip(&self, axes: &[isize]) -> Self {
        let axes = arrange::axes("flip", self.shape(), axes).or_panic();
        axes.into_iter().fold(self.clone(), |x, axis| {
            let n = x.shape()[axis];
            x.slice(axis as isize, n.saturating_sub(1), n, -1)
        })
    }

    /// `y[…, i, …] = x[…, index[i], …]` along an axis: index (n).
    ///
    /// # Panics
    /// If the axis or an index is out of range.
    #[track_caller]
    #[must_use]
    pub fn index_select(&self, axis: isize, index: &TensorOf<i32>) -> Self {
        let at = self.axis("index_select", axis);
        self.gather(axis, &positions::along(self.shape(), at, index))
    }

    /// `y[i…, …] = x[a[i…], b[i…], …]`: the lists a, b, … are broadcast and index the first axes (`x[a, b]` in `PyTorch` and
    /// `NumPy`). A negative index counts from the end.
    ///
    /// # Panics
    /// If the lists do not broadcast, there are more than axes, or an index is out of range.
    #[track_caller]
    #[must_use]
    pub fn index(&self, lists: &[&TensorOf<i32>]) -> Self {
        let (shape, position) = (self.shape(), positions::of_lists(self.shape(), lists));
        let (front, rest) = shape.split_at(lists.len());
        let x = self.reshape([&[front.iter().product()], rest].concat());
        let y = x.index_select(0, &position.reshape(position.numel()));
        y.reshape([&*position.shape(), rest].concat())
    }

    /// `value` where the mask, broadcast to this shape, is not 0.
    ///
    /// # Panics
    /// If the mask does not broadcast to this shape.
    #[track_caller]
    #[must_use]
    pub fn masked_fill(&self, mask: &TensorOf<u8>, value: T) -> Self {
        Self::scalar(value).select(&mask.broadcast_to(self.shape()), self)
    }

    /// The elements at which the mask, broadcast to this shape, is not 0, in row-major order: (n). Synchronizes with a GPU,
    /// since n depends on the mask.
    ///
    /// # Panics
    /// If the mask does not broadcast to this shape.
    #[track_caller]
    #[must_use]
    pub fn masked_select(&self, mask: &TensorOf<u8>) -> Self {
        self.reshape(self.numel()).index_select(0, &positions::of_mask(mask, self.shape()))
    }

    /// The elements `[i, i + offset]` of two axes, as the last axis: (…, n, m) → (…, k).
    ///
    /// # Panics
    /// If an axis is out of range or both are the same.
    #[track_caller]
    #[must_use]
    pub fn diagonal(&self, offset: isize, first: isize, second: isize) -> Self {
        let d = arrange::diagonal(self.shape(), offset, first, second).or_panic();
        self.permute(&d.order).reshape(d.flat).slice(-1, d.start, d.len, d.step)
    }

    /// The elements of the last two axes on diagonal number `offset` and below it; 0 above.
    ///
    /// # Panics
    /// If there are fewer than two axes.
    #[track_caller]
    #[must_use]
    pub fn tril(&self, offset: isize) -> Self {
        let above = positions::upper_triangle(self.device(), self.matrix("tril"), offset + 1);
        self.masked_fill(&above, T::ZERO)
    }

    /// The elements of the last two axes on diagonal number `offset` and above it; 0 below.
    ///
    /// # Panics
    /// If there are fewer than two axes.
    #[track_caller]
    #[must_use]
    pub fn triu(&self, offset: isize) -> Self {
        let kept = positions::upper_triangle(self.device(), self.matrix("triu"), offset);
        self.select(&kept, &Self::scalar(T::ZERO))
    }

    /// The lengths of the last two axes.
    #[track_caller]
    fn matrix(&self, op: &str) -> [usize; 2] {
        arrange::matrix(op, self.shape()).or_panic()
    }

    /// The coordinates of a grid: vectors (n₁), (n₂), … → tensors (n₁, n₂, …), of which number k varies along axis k
    /// (`indexing="ij"`).
    ///
    /// # Panics
    /// If a part has more than one axis.
    #[track_caller]
    pub fn meshgrid(parts: &[&Self]) -> Vec<Self> {
        let shapes: Vec<Shape> = parts.iter().map(|part| part.shape()).collect();
        let (grid, lines) = arrange::meshgrid(&shapes).or_panic();
        parts.iter().zip(lines).map(|(part, line)| part.reshape(line).broadcast_to(grid)).collect()
    }

    /// The windows of `size` elements of an axis at a distance of `step`: (…, n, …) → (…, windows, …, size)
    /// (`torch.Tensor.unfold`). For images see [`im2col`](Self::im2col).
    ///
    /// # Panics
    /// If the axis is out of range, the window is longer than it or the step is 0.
    #[track_caller]
    #[must_use]
    pub fn unfold(&self, axis: isize, size: usize, step: usize) -> Self {
        let (along, count) = arrange::unfold(self.shape(), axis, size, step).or_panic();
        let y = self.index_select(axis, &positions::of_windows(self.device(), count, size, step));
        let (shapes, order) = arrange::windows_last(self.shape(), along, count, size);
        y.reshape(shapes).permute(&order)
    }

    /// Pads with elements of this tensor: `widths[axis]` = (before, after).
    ///
    /// # Panics
    /// If there is not one pair per axis, or an axis has too few elements (see [`PadMode`]).
    #[track_caller]
    #[must_use]
    pub fn pad_with(&self, widths: &[(usize, usize)], mode: PadMode) -> Self {
        arrange::pad(self.shape(), widths).or_panic();
        let mut y = self.clone();
        for (axis, &width) in widths.iter().enumerate().filter(|&(_, &width)| width != (0, 0)) {
            let shape = y.shape();
            let sides = arrange::pad_sides(shape, axis, width, mode).or_panic();
            let side = |(start, len, step), width| {
                y.slice(axis as isize, start, len, step).broadcast_to(shape.with(axis, width))
            };
            y = Self::concat(&[&side(sides[0], width.0), &y, &side(sides[1], width.1)], axis as isize);
        }
        y
    }
}

impl<T: Float> TensorOf<T> {
    /// `y[i,j] = a[i] · b[j]`: (n), (m) → (n, m).
    ///
    /// # Panics
    /// If an operand has not one axis.
    #[track_caller]
    #[must_use]
    pub fn outer(&self, b: &Self) -> Self {
        arrange::vectors("outer", self.shape(), b.shape()).or_panic();
        self.unsqueeze(1).binary(Binary::Mul, b)
    }
}
