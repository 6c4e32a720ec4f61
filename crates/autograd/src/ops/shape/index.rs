//! Selecting by indices and by masks.

use chainrule_tensor::shape_rules::{self, arrange};
use chainrule_tensor::{Float, OrPanic, TensorOf, positions};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::{open, open_with};

impl<T: Float> VarOf<T> {
    /// `y[…, i, …] = x[…, index[i], …]` along an axis: index (n). dx is the sum of dy over all reads of an element.
    ///
    /// # Panics
    /// If the axis or an index is out of range.
    #[track_caller]
    #[must_use]
    pub fn index_select(&self, axis: isize, index: &TensorOf<i32>) -> Self {
        let at = shape_rules::axis("index_select", self.shape(), axis).or_panic();
        let _scope = open_with("index_select", || vec![Attribute::new("axis", axis), Attribute::new("index", index)]);
        self.gather(axis, &positions::along(self.shape(), at, index))
    }

    /// `y[i…, …] = x[a[i…], b[i…], …]`: the lists a, b, … are broadcast and index the first axes (`x[a, b]` in `PyTorch` and
    /// `NumPy`). A negative index counts from the end. dx is the sum of dy over all reads of an element.
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// let x = Var64::parameter("x", [[1.0, 2.0], [3.0, 4.0]]);
    /// let y = x.index(&[&[0, 1, 1].into(), &[-1, 0, 0].into()]);
    /// assert_eq!(y.value().to_vec(), [2.0, 3.0, 3.0]);
    /// assert_eq!(y.sum().backward()[&x].to_vec(), [0.0, 1.0, 2.0, 0.0]);
    /// ```
    ///
    /// # Panics
    /// If the lists do not broadcast, there are more than axes, or an index is out of range.
    #[track_caller]
    #[must_use]
    pub fn index(&self, lists: &[&TensorOf<i32>]) -> Self {
        let (shape, position) = (self.shape(), positions::of_lists(self.shape(), lists));
        let (front, rest) = shape.split_at(lists.len());
        let _scope = open("index");
        let x = self.reshape([&[front.iter().product()], rest].concat());
        let y = x.index_select(0, &position.reshape(position.numel()));
        y.reshape([&*position.shape(), rest].concat())
    }

    /// `value` where the mask, broadcast to this shape, is not 0; dx is 0 there, else dy.
    ///
    /// # Panics
    /// If the mask does not broadcast to this shape.
    #[track_caller]
    #[must_use]
    pub fn masked_fill(&self, mask: &TensorOf<u8>, value: f64) -> Self {
        let _scope = open_with("masked_fill", || vec![Attribute::new("value", value)]);
        Self::constant(T::from_f64(value)).select(&mask.broadcast_to(self.shape()), self)
    }

    /// The elements at which the mask, broadcast to this shape, is not 0, in row-major order: (n). dx is dy there, else 0.
    /// Synchronizes with a GPU, since n depends on the mask.
    ///
    /// # Panics
    /// If the mask does not broadcast to this shape.
    #[track_caller]
    #[must_use]
    pub fn masked_select(&self, mask: &TensorOf<u8>) -> Self {
        let _scope = open_with("masked_select", || vec![Attribute::new("mask", mask)]);
        self.reshape(self.shape().numel()).index_select(0, &positions::of_mask(mask, self.shape()))
    }

    /// The elements of the last two axes on diagonal number `offset` and below it, 0 above; the same of dy is dx.
    ///
    /// # Panics
    /// If there are fewer than two axes.
    #[track_caller]
    #[must_use]
    pub fn tril(&self, offset: isize) -> Self {
        let _scope = open_with("tril", || vec![Attribute::new("offset", offset)]);
        let sides = arrange::matrix("tril", self.shape()).or_panic();
        self.masked_fill(&positions::upper_triangle(self.device(), sides, offset + 1), 0.0)
    }

    /// The elements of the last two axes on diagonal number `offset` and above it, 0 below; the same of dy is dx.
    ///
    /// # Panics
    /// If there are fewer than two axes.
    #[track_caller]
    #[must_use]
    pub fn triu(&self, offset: isize) -> Self {
        let _scope = open_with("triu", || vec![Attribute::new("offset", offset)]);
        let sides = arrange::matrix("triu", self.shape()).or_panic();
        self.select(&positions::upper_triangle(self.device(), sides, offset), &Self::constant(T::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use chainrule_tensor::TensorOf;

    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [[1.0, 2.0, 3.0], [4.0, 5.0, f64::NAN]]);
        let dx = |y: &Var64| y.sum().backward()[&x].to_vec();
        let y = x.index_select(1, &[2, 0, 0].into()).narrow(0, 0..1);
        assert_eq!((y.value().to_vec(), dx(&y)), (vec![3.0, 1.0, 1.0], vec![2.0, 0.0, 1.0, 0.0, 0.0, 0.0]));
        // A list of shape (2, 1) and a number, which removes the axis.
        let y = x.index(&[&[[1], [-2]].into(), &TensorOf::scalar(1)]);
        assert_eq!((y.shape().to_vec(), y.value().to_vec()), (vec![2, 1], vec![5.0, 2.0]));
        // Neither the masked NaN nor its gradient is left.
        let y = x.masked_fill(&[[0, 0, 0], [0, 1, 1]].into(), -1.0);
        assert_eq!(
            (y.value().to_vec()[3..].to_vec(), dx(&y)),
            (vec![4.0, -1.0, -1.0], vec![1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
        );
        let y = x.masked_select(&[1, 0, 1].into()).narrow(0, 0..3);
        assert_eq!((y.value().to_vec(), dx(&y)), (vec![1.0, 3.0, 4.0], vec![1.0, 0.0, 1.0, 1.0, 0.0, 0.0]));
        assert_eq!(x.tril(0).value().to_vec(), [1.0, 0.0, 0.0, 4.0, 5.0, 0.0]);
        assert_eq!(dx(&x.triu(1)), [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    #[should_panic(expected = "index: index -3 is out of range for axis 0\n  x = (2, 1)\n  rule: −2 ≤ index < 2")]
    fn an_index_is_in_range() {
        let _ = Var64::constant([[1.0], [2.0]]).index(&[&[0, -3].into()]);
    }
}
