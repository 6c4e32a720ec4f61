//! Rearranging: repeat, roll, flip, diagonal, unfold, and padding with elements of x. All of them are views, concatenations and
//! gathers, whose rules give the gradients.

use chainrule_tensor::shape_rules::arrange::{self, PadMode};
use chainrule_tensor::{Float, OrPanic, positions};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::open_with;

impl<T: Float> VarOf<T> {
    /// All elements `times[axis]` times along each axis; more numbers than axes prepend axes (`torch.repeat`, `np.tile`). dx is
    /// the sum of dy over all copies.
    ///
    /// # Panics
    /// If there are fewer numbers than axes.
    #[track_caller]
    #[must_use]
    pub fn repeat(&self, times: &[usize]) -> Self {
        let mut shape = arrange::repeat(self.shape(), times).or_panic();
        let _scope = open_with("repeat", || vec![Attribute::new("times", times)]);
        let mut y = self.reshape(shape);
        for (axis, &n) in times.iter().enumerate().filter(|&(_, &n)| n != 1) {
            let [before, after]: [usize; 2] = [shape[..axis].iter().product(), shape[axis..].iter().product()];
            shape = shape.with(axis, n * shape[axis]);
            y = y.reshape([before, 1, after]).broadcast_to([before, n, after]).reshape(shape);
        }
        y
    }

    /// `y[…, (i + shift) mod n, …] = x[…, i, …]` for each axis; with no axes, one shift of the flattened variable
    /// (`torch.roll`). dx is dy rolled back.
    ///
    /// # Panics
    /// If an axis is out of range or the numbers of shifts and axes differ.
    #[track_caller]
    #[must_use]
    pub fn roll(&self, shifts: &[isize], axes: &[isize]) -> Self {
        if axes.is_empty() && shifts.len() == 1 {
            return self.reshape(self.shape().numel()).roll(shifts, &[0]).reshape(self.shape());
        }
        let starts = arrange::roll(self.shape(), shifts, axes).or_panic();
        let _scope = open_with("roll", || vec![Attribute::new("shifts", shifts), Attribute::new("axes", axes)]);
        starts.into_iter().fold(self.clone(), |x, (axis, start)| {
            let (len, axis) = (x.shape()[axis], axis as isize);
            Self::concat(&[&x.narrow(axis, start..len), &x.narrow(axis, 0..start)], axis)
        })
    }

    /// The elements of the axes in reverse order, as a view; dx is dy reversed.
    ///
    /// # Panics
    /// If an axis is out of range or given twice.
    #[track_caller]
    #[must_use]
    pub fn flip(&self, axes: &[isize]) -> Self {
        let _scope = open_with("flip", || vec![Attribute::new("axes", axes)]);
        let axes = arrange::axes("flip", self.shape(), axes).or_panic();
        axes.into_iter().fold(self.clone(), |x, axis| {
            let n = x.shape()[axis];
            x.slice(axis as isize, n.saturating_sub(1), n, -1)
        })
    }

    /// The elements `[i, i + offset]` of two axes, as the last axis: (…, n, m) → (…, k). dx is dy there, else 0.
    ///
    /// # Panics
    /// If an axis is out of range or both are the same.
    #[track_caller]
    #[must_use]
    pub fn diagonal(&self, offset: isize, first: isize, second: isize) -> Self {
        let d = arrange::diagonal(self.shape(), offset, first, second).or_panic();
        let _scope = open_with("diagonal", || vec![Attribute::new("offset", offset)]);
        self.permute(&d.order).reshape(d.flat).slice(-1, d.start, d.len, d.step)
    }

    /// The windows of `size` elements of an axis at a distance of `step`: (…, n, …) → (…, windows, …, size)
    /// (`torch.Tensor.unfold`). dx is the sum of dy over all windows with an element. For images see
    /// [`im2col`](Self::im2col).
    ///
    /// # Panics
    /// If the axis is out of range, the window is longer than it or the step is 0.
    #[track_caller]
    #[must_use]
    pub fn unfold(&self, axis: isize, size: usize, step: usize) -> Self {
        let (along, count) = arrange::unfold(self.shape(), axis, size, step).or_panic();
        let _scope = open_with("unfold", || vec![Attribute::new("size", size), Attribute::new("step", step)]);
        let y = self.index_select(axis, &positions::of_windows(self.device(), count, size, step));
        let (apart, order) = arrange::windows_last(self.shape(), along, count, size);
        y.reshape(apart).permute(&order)
    }

    /// Pads with elements of this variable, `widths[axis]` = (before, after); dx is the sum of dy over all copies. For a constant
    /// see [`pad`](Self::pad).
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// use chainrule_tensor::PadMode;
    /// let x = Var64::constant([1.0, 2.0, 3.0]);
    /// assert_eq!(x.pad_with(&[(2, 1)], PadMode::Reflect).value().to_vec(), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
    /// assert_eq!(x.pad_with(&[(2, 1)], PadMode::Replicate).value().to_vec(), [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
    /// assert_eq!(x.pad_with(&[(2, 1)], PadMode::Circular).value().to_vec(), [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
    /// ```
    ///
    /// # Panics
    /// If there is not one pair per axis, or an axis has too few elements (see [`PadMode`]).
    #[track_caller]
    #[must_use]
    pub fn pad_with(&self, widths: &[(usize, usize)], mode: PadMode) -> Self {
        arrange::pad(self.shape(), widths).or_panic();
        let _scope = open_with("pad_with", || vec![Attribute::new("mode", format!("{mode:?}"))]);
        let mut y = self.clone();
        for (axis, &width) in widths.iter().enumerate().filter(|&(_, &width)| width != (0, 0)) {
            let shape = y.shape();
            let sides = arrange::pad_sides(shape, axis, width, mode).or_panic();
            let side = |(start, len, step), width| {
                let slice = y.slice(axis as isize, start, len, step);
                if len == width { slice } else { slice.broadcast_to(shape.with(axis, width)) }
            };
            let [before, after] = [(sides[0], width.0), (sides[1], width.1)]
                .map(|(slice, width)| (width > 0).then(|| side(slice, width)));
            let parts: Vec<&Self> = [before.as_ref(), Some(&y), after.as_ref()].into_iter().flatten().collect();
            y = Self::concat(&parts, axis as isize);
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use chainrule_tensor::PadMode;

    use crate::Var64;

    #[test]
    fn copies_add_up_in_the_gradient() {
        let x = Var64::parameter("x", [1.0, 2.0, 3.0]);
        let weights = Var64::constant([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let dx = |y: Var64| (y * &weights).sum().backward()[&x].to_vec();
        assert_eq!(dx(x.repeat(&[2])), [5.0, 7.0, 9.0]);
        assert_eq!(dx(x.pad_with(&[(2, 1)], PadMode::Reflect)), [3.0, 2.0 + 4.0 + 6.0, 1.0 + 5.0]);
        assert_eq!(dx(x.unfold(0, 2, 1).reshape(4).pad(&[(0, 2)], 0.0)), [1.0, 5.0, 4.0]);
        assert_eq!(x.roll(&[-4], &[]).value().to_vec(), [2.0, 3.0, 1.0]);
        let square = Var64::parameter("m", [[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(square.diagonal(-1, 0, 1).value().to_vec(), [3.0]);
        assert_eq!(square.diagonal(2, 0, 1).shape(), [0]);
        assert_eq!(square.flip(&[0, 1]).value().to_vec(), [4.0, 3.0, 2.0, 1.0]);
    }

    #[test]
    #[should_panic(
        expected = "pad: axis 0 of length 2 cannot be padded by (2, 0) in mode Reflect\n  x = (2,)\n  rule: width < length"
    )]
    fn a_reflection_is_shorter_than_the_axis() {
        let _ = Var64::constant([1.0, 2.0]).pad_with(&[(2, 0)], PadMode::Reflect);
    }

    #[test]
    #[should_panic(expected = "flip: axis 1 is given twice\n  x = (1, 1)\n  axes [1, -1]\n  rule: each once")]
    fn an_axis_is_flipped_once() {
        let _ = Var64::constant([[1.0]]).flip(&[1, -1]);
    }
}
