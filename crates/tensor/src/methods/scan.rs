//! Products along axes, and running sums and products, out of elementwise kernels: trees whose shape depends only on the
//! lengths, so the results have the same bits on any number of threads.

use super::{keep, marks};
use crate::element::Float;
use crate::kernel::Binary;
use crate::layout::Layout;
use crate::tensor::TensorOf;

impl<T: Float> TensorOf<T> {
    /// The product along some axes (negative axes count from the last, none means all); 1 of no elements.
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn prod(&self, axes: &[isize], keepdim: bool) -> Self {
        let marked = marks("prod", self.shape(), axes);
        let along = (0..self.rank()).filter(|&axis| marked[axis]);
        keep(along.fold(self.clone(), |x, axis| x.prod_of_axis(axis)), &marked, keepdim)
    }

    /// The product along an axis, which is kept with length 1: of both halves, element by element, until one is left.
    fn prod_of_axis(&self, axis: usize) -> Self {
        let (at, mut n) = (axis as isize, self.shape()[axis]);
        if n == 0 {
            return Self::full_on(self.device(), self.shape().with(axis, 1), T::ONE);
        }
        let mut x = self.clone();
        while n > 1 {
            let half = n / 2;
            let product = x.narrow(at, 0..half).binary(Binary::Mul, &x.narrow(at, half..2 * half));
            x = if n % 2 == 0 { product } else { Self::concat(&[&product, &x.narrow(at, n - 1..n)], at) };
            n = n.div_ceil(2);
        }
        x
    }

    /// `y[i] = Σ_{k ≤ i} x[k]` along an axis.
    ///
    /// The sum of an element is a tree of at most 2·log₂ n additions in depth, so its rounding error is that of pairwise
    /// summation, and below that of one addition after the other.
    ///
    /// # Panics
    /// If the axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn cumsum(&self, axis: isize) -> Self {
        self.scan(Binary::Add, self.axis("cumsum", axis))
    }

    /// `y[i] = Π_{k ≤ i} x[k]` along an axis.
    ///
    /// # Panics
    /// If the axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn cumprod(&self, axis: isize) -> Self {
        self.scan(Binary::Mul, self.axis("cumprod", axis))
    }

    /// All prefixes in 2n operations: those of pairs of neighbors are the results at odd places, and one operation more
    /// gives those at even places (Blelloch, "Prefix sums and their applications", 1990).
    fn scan(&self, op: Binary, axis: usize) -> Self {
        let (at, n) = (axis as isize, self.shape()[axis]);
        if n < 2 {
            return self.clone();
        }
        let (odds, evens) = (n / 2, n.div_ceil(2));
        let (even, odd) = (self.slice(at, 0, evens, 2), self.slice(at, 1, odds, 2));
        let pairs = even.narrow(at, 0..odds).binary(op, &odd).scan(op, axis);
        let mut y = self.uninitialized_like(Layout::contiguous(self.shape()));
        y.assign(at, 0..1, &even.narrow(at, 0..1));
        y.assign_slice(at, 1, 2, &pairs);
        if evens > 1 {
            y.assign_slice(at, 2, 2, &pairs.narrow(at, 0..evens - 1).binary(op, &even.narrow(at, 1..evens)));
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use crate::parallel::with_threads;
    use crate::tensor::{Tensor, Tensor64};

    #[test]
    fn every_length_against_one_element_after_the_other() {
        for n in [0, 1, 2, 3, 5, 8, 13, 64, 77] {
            let x = Tensor64::from_fn([2, n, 3], |i| ((i * 7) % 11) as f64 - 4.0);
            let (sums, products) = (x.cumsum(1), x.cumprod(-2));
            let total = x.prod(&[1], false);
            for (i, k) in (0..2).flat_map(|i| (0..3).map(move |k| (i, k))) {
                let (mut sum, mut product) = (0.0, 1.0);
                for j in 0..n {
                    sum += x.at(&[i, j, k]);
                    product *= x.at(&[i, j, k]);
                    assert_eq!(sums.at(&[i, j, k]), sum, "sum of {j} of {n}");
                    let near = (products.at(&[i, j, k]) - product).abs() <= 1e-13 * product.abs();
                    assert!(near, "product of {j} of {n}");
                }
                assert!((total.at(&[i, k]) - product).abs() <= 1e-13 * product.abs());
            }
        }
        assert_eq!(Tensor::zeros([2, 0]).prod(&[1], true), Tensor::ones([2, 1]));
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let x = Tensor::from_fn([3, 70_001], |i| 1.0 + (i as f32 * 0.7).sin() / 64.0);
        let all = || [x.cumsum(1).to_vec(), x.cumprod(1).to_vec(), x.prod(&[], false).to_vec()];
        assert_eq!(with_threads(1, all), with_threads(3, all));
    }
}
