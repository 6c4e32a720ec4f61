//! Order statistics: the elements are gathered at indices, along which no gradient flows.

use chainrule_tensor::{Float, TensorOf};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::open_with;

impl<T: Float> VarOf<T> {
    /// The maximum along an axis and its index, the first if several are equal; NaN and its index if there is one. All of dy goes
    /// to the element at the index, as from `torch.max` along an axis; [`max_axes`](Self::max_axes) shares it among equal ones.
    ///
    /// # Panics
    /// If the axis is out of range or there are no elements.
    #[track_caller]
    #[must_use]
    pub fn max_with_index(&self, axis: isize, keepdim: bool) -> (Self, TensorOf<i32>) {
        self.at_index("max_with_index", axis, keepdim, self.value().argmax(axis))
    }

    /// The minimum along an axis and its index, the first if several are equal; NaN and its index if there is one. All of dy goes
    /// to the element at the index.
    ///
    /// # Panics
    /// If the axis is out of range or there are no elements.
    #[track_caller]
    #[must_use]
    pub fn min_with_index(&self, axis: isize, keepdim: bool) -> (Self, TensorOf<i32>) {
        self.at_index("min_with_index", axis, keepdim, self.value().argmin(axis))
    }

    #[track_caller]
    fn at_index(&self, op: &'static str, axis: isize, keepdim: bool, index: TensorOf<i32>) -> (Self, TensorOf<i32>) {
        let _scope = open_with(op, || vec![Attribute::new("axis", axis)]);
        let kept = index.unsqueeze(axis);
        let y = self.gather(axis, &kept);
        if keepdim { (y, kept) } else { (y.squeeze(axis), index) }
    }

    /// The elements along an axis in ascending or descending order, and their indices. Equal elements keep their order; NaN is
    /// the largest (`torch.sort` with `stable=True`). dx is dy back at the indices.
    ///
    /// On a GPU a thread sorts a line in time n², for lines of up to some thousand elements.
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// let x = Var64::parameter("x", [3.0, 1.0, 2.0]);
    /// let (y, index) = x.sort(0, false);
    /// assert_eq!((y.value().to_vec(), index.to_vec()), (vec![1.0, 2.0, 3.0], vec![1, 2, 0]));
    /// let dx = (y * Var64::constant([1.0, 10.0, 100.0])).sum().backward()[&x].to_vec();
    /// assert_eq!(dx, [100.0, 1.0, 10.0]);
    /// ```
    ///
    /// # Panics
    /// If the axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn sort(&self, axis: isize, descending: bool) -> (Self, TensorOf<i32>) {
        let index = self.value().argsort(axis, descending);
        let _scope = open_with("sort", || vec![Attribute::new("axis", axis), Attribute::new("descending", descending)]);
        (self.gather(axis, &index), index)
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn of_equal_elements_the_first_gets_the_gradient() {
        let x = Var64::parameter("x", [[1.0, 3.0, 3.0], [5.0, 4.0, f64::NAN]]);
        let (y, index) = x.max_with_index(1, false);
        assert_eq!((y.value().at(&[0]), index.to_vec()), (3.0, vec![1, 2]));
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        let (y, index) = x.min_with_index(0, true);
        assert_eq!((y.shape().to_vec(), index.to_vec()), (vec![1, 3], vec![0, 0, 1]));
        assert_eq!(y.sum().backward()[&x].to_vec(), [1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
