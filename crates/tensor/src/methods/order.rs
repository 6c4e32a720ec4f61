//! Order statistics and counts.

use super::{keep, marks, not_empty, positions};
use crate::element::Element;
use crate::kernel::Unary;
use crate::tensor::{Tensor64, TensorOf};

impl<T: Element> TensorOf<T> {
    /// The index of the first minimum along an axis, which is removed; of the first NaN, if there is one.
    ///
    /// # Panics
    /// If the axis is out of range or there are no elements.
    #[track_caller]
    pub fn argmin(&self, axis: isize) -> TensorOf<i32> {
        not_empty("argmin", self);
        self.axis("argmin", axis);
        self.to_f64().unary(Unary::Neg).argmax(axis)
    }

    /// The maximum along an axis and its index, the first if several are equal; NaN and its index if there is one
    /// (`torch.max` along an axis).
    ///
    /// # Panics
    /// If the axis is out of range or there are no elements.
    #[track_caller]
    pub fn max_with_index(&self, axis: isize, keepdim: bool) -> (Self, TensorOf<i32>) {
        self.at_index(axis, keepdim, &self.argmax(axis))
    }

    /// The minimum along an axis and its index, the first if several are equal; NaN and its index if there is one.
    ///
    /// # Panics
    /// If the axis is out of range or there are no elements.
    #[track_caller]
    pub fn min_with_index(&self, axis: isize, keepdim: bool) -> (Self, TensorOf<i32>) {
        self.at_index(axis, keepdim, &self.argmin(axis))
    }

    /// The elements at an index without the axis, and the index.
    #[track_caller]
    fn at_index(&self, axis: isize, keepdim: bool, index: &TensorOf<i32>) -> (Self, TensorOf<i32>) {
        let kept = index.unsqueeze(axis);
        let y = self.gather(axis, &kept);
        if keepdim { (y, kept) } else { (y.squeeze(axis), index.clone()) }
    }

    /// The elements along an axis in ascending or descending order, and their indices. Equal elements keep their order; NaN
    /// is the largest (`torch.sort` with `stable=True`).
    ///
    /// On a GPU a thread sorts a line in time n², for lines of up to some thousand elements.
    ///
    /// # Panics
    /// If the axis is out of range.
    #[track_caller]
    pub fn sort(&self, axis: isize, descending: bool) -> (Self, TensorOf<i32>) {
        let n = self.shape()[self.axis("sort", axis)];
        if descending {
            return self.topk(n, axis);
        }
        // Reversed before and after: equal elements then keep their order.
        let (values, indices) = self.flip(&[axis]).topk(n, axis);
        let back = indices.flip(&[axis]).to_f64().unary(Unary::SubFrom(n as f64 - 1.0));
        (values.flip(&[axis]), back.to_i32())
    }

    /// The indices that sort an axis; see [`sort`](Self::sort).
    ///
    /// # Panics
    /// If the axis is out of range.
    #[track_caller]
    pub fn argsort(&self, axis: isize, descending: bool) -> TensorOf<i32> {
        self.sort(axis, descending).1
    }

    /// 1 where an element along some axes (none means all) is not 0, else 0. NaN is not 0; there is none among no elements.
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    pub fn any(&self, axes: &[isize], keepdim: bool) -> TensorOf<u8> {
        self.of_nonzero("any", axes, keepdim, 0, TensorOf::max)
    }

    /// 1 where all elements along some axes (none means all) are not 0, as all of no elements are, else 0.
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    pub fn all(&self, axes: &[isize], keepdim: bool) -> TensorOf<u8> {
        self.of_nonzero("all", axes, keepdim, 1, TensorOf::min)
    }

    #[track_caller]
    fn of_nonzero(
        &self,
        op: &str,
        axes: &[isize],
        keepdim: bool,
        of_none: u8,
        reduce: fn(&TensorOf<u8>, &[isize], bool) -> TensorOf<u8>,
    ) -> TensorOf<u8> {
        let marked = marks(op, self.shape(), axes);
        if self.numel() > 0 {
            return reduce(&positions::nonzero(self), axes, keepdim);
        }
        let kept = (0..self.rank()).filter(|&axis| marked[axis]).fold(self.shape(), |shape, axis| shape.with(axis, 1));
        keep(TensorOf::full_on(self.device(), kept, of_none), &marked, keepdim)
    }

    /// The number of elements along some axes (none means all) that are not 0.
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    pub fn count_nonzero(&self, axes: &[isize]) -> TensorOf<i32> {
        positions::nonzero(self).to_f64().sum(axes, false).to_i32()
    }
}

impl TensorOf<i32> {
    /// How often each number from 0 on occurs in a vector: (n) → (k), where k is the largest number plus 1, or `minlength` if
    /// that is more. Synchronizes with a GPU.
    ///
    /// # Panics
    /// If there is not one axis or a number is negative.
    #[track_caller]
    #[must_use]
    pub fn bincount(&self, minlength: usize) -> Self {
        assert!(self.rank() == 1, "bincount: the numbers have shape {}\n  rule: one axis, (n)", self.shape());
        if self.numel() == 0 {
            return Self::full_on(self.device(), minlength, 0);
        }
        let lowest = self.min(&[], false).item();
        assert!(lowest >= 0, "bincount: {lowest} is among the numbers\n  rule: no number is negative");
        let len = minlength.max(self.max(&[], false).item() as usize + 1);
        Tensor64::full_on(self.device(), self.shape(), 1.0).scatter_add(0, self, len).to_i32()
    }
}

#[cfg(test)]
mod tests {
    use crate::tensor::{Tensor, TensorOf};

    #[test]
    fn sorting_is_stable_and_nan_is_the_largest() {
        let x = Tensor::from([3.0, f32::NAN, 1.0, 3.0, f32::NAN, 1.0]);
        let (values, indices) = x.sort(0, false);
        assert_eq!(values.narrow(0, 0..4).to_vec(), [1.0, 1.0, 3.0, 3.0]);
        assert_eq!(indices.to_vec(), [2, 5, 0, 3, 1, 4]);
        assert_eq!(x.argsort(-1, true).to_vec(), [1, 4, 0, 3, 2, 5]);
        assert_eq!(TensorOf::<i32>::from([[2, 1], [-3, 5]]).sort(1, false).0.to_vec(), [1, 2, -3, 5]);
        assert_eq!(Tensor::zeros([2, 0]).argsort(1, false).shape(), [2, 0]);
    }

    #[test]
    fn extremes_and_their_indices() {
        let x = Tensor::from([[2.0, 1.0, 1.0], [f32::NAN, 4.0, f32::NAN]]);
        assert_eq!(x.argmin(1).to_vec(), [1, 0]);
        assert_eq!(TensorOf::<u8>::from([3, 0, 0]).argmin(0).item(), 1);
        let (values, indices) = x.narrow(0, 0..1).max_with_index(1, true);
        assert_eq!((values, indices), (Tensor::from([[2.0]]), [[0]].into()));
        let (values, indices) = x.narrow(0, 0..1).min_with_index(-1, false);
        assert_eq!((values, indices), (Tensor::from([1.0]), [1].into()));
    }

    #[test]
    fn any_all_and_counts() {
        let x = Tensor::from([[0.0, f32::NAN], [0.0, 0.0], [1.0, 2.0]]);
        assert_eq!((x.any(&[1], false).to_vec(), x.all(&[1], false).to_vec()), (vec![1, 0, 1], vec![0, 0, 1]));
        assert_eq!((x.any(&[], true).shape().rank(), x.count_nonzero(&[0]).to_vec()), (2, vec![1, 2]));
        let none = Tensor::zeros([0, 3]);
        assert_eq!((none.any(&[0], false).to_vec(), none.all(&[], false).item()), (vec![0; 3], 1));
        assert_eq!(none.all(&[1], true).shape(), [0, 1]);
        let labels = TensorOf::<i32>::from([1, 3, 1]);
        assert_eq!((labels.bincount(0).to_vec(), labels.bincount(5).to_vec()), (vec![0, 2, 0, 1], vec![0, 2, 0, 1, 0]));
        assert_eq!(labels.narrow(0, 0..0).bincount(2).to_vec(), [0, 0]);
    }

    #[test]
    #[should_panic(expected = "bincount: -1 is among the numbers\n  rule: no number is negative")]
    fn a_negative_number_is_not_counted() {
        let _ = TensorOf::<i32>::from([2, -1]).bincount(0);
    }
}
