//! Products along axes, and running products.

use chainrule_tensor::{Float, OrPanic, shape_rules};

use super::sum::reduced;
use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::{open, open_with};

impl<T: Float> VarOf<T> {
    /// The product of all elements. See [`prod_axes`](Self::prod_axes).
    #[must_use]
    #[track_caller]
    pub fn prod(&self) -> Self {
        self.prod_axes(&[], false)
    }

    /// The product along some axes (none means all); 1 of no elements. dx is dy times the product of the other elements, also
    /// where elements are 0, since it is a tree of products, without division.
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn prod_axes(&self, axes: &[isize], keepdim: bool) -> Self {
        let _scope = open("prod");
        let kept = reduced("prod", self, axes).into_iter().fold(self.clone(), |x, axis| x.prod_of_axis(axis));
        if keepdim { kept } else { kept.drop_axes(axes) }
    }

    /// The product along an axis, which is kept with length 1: of both halves, element by element, until one is left.
    fn prod_of_axis(&self, axis: usize) -> Self {
        let (at, mut n) = (axis as isize, self.shape()[axis]);
        if n == 0 {
            // The sum of no elements is 0, and depends on x as their product does: not at all.
            return self.sum_axes(&[at], true) + 1.0;
        }
        let mut x = self.clone();
        while n > 1 {
            let half = n / 2;
            let product = x.narrow(at, 0..half) * x.narrow(at, half..2 * half);
            x = if n % 2 == 0 { product } else { Self::concat(&[&product, &x.narrow(at, n - 1..n)], at) };
            n = n.div_ceil(2);
        }
        x
    }

    /// `y[i] = Π_{k ≤ i} x[k]` along an axis; dx is right also where elements are 0.
    ///
    /// # Panics
    /// If the axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn cumprod(&self, axis: isize) -> Self {
        let _scope = open_with("cumprod", || vec![Attribute::new("axis", axis)]);
        self.running_product(shape_rules::axis("cumprod", self.shape(), axis).or_panic())
    }

    /// All prefixes in 2n products: those of pairs of neighbors are the results at odd places, and one product more gives those
    /// at even places (as [`TensorOf::cumprod`](chainrule_tensor::TensorOf::cumprod)).
    fn running_product(&self, axis: usize) -> Self {
        let (at, n) = (axis as isize, self.shape()[axis]);
        if n < 2 {
            return self.clone();
        }
        let (odds, evens) = (n / 2, n.div_ceil(2));
        let (even, odd) = (self.slice(at, 0, evens, 2), self.slice(at, 1, odds, 2));
        let pairs = (even.narrow(at, 0..odds) * odd).running_product(axis);
        let first = even.narrow(at, 0..1);
        let even = if evens == 1 {
            first
        } else {
            Self::concat(&[&first, &(pairs.narrow(at, 0..evens - 1) * even.narrow(at, 1..evens))], at)
        };
        let both = Self::stack(&[&even.narrow(at, 0..odds), &pairs], at + 1).reshape(self.shape().with(axis, 2 * odds));
        if evens == odds { both } else { Self::concat(&[&both, &even.narrow(at, odds..evens)], at) }
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        for (x, prod, cumprod) in [
            ([2.0, 3.0, 4.0], [12.0, 8.0, 6.0], [1.0 + 3.0 + 12.0, 2.0 + 8.0, 6.0]),
            ([0.0, 3.0, 4.0], [12.0, 0.0, 0.0], [1.0 + 3.0 + 12.0, 0.0, 0.0]),
            ([0.0, 3.0, 0.0], [0.0, 0.0, 0.0], [1.0 + 3.0, 0.0, 0.0]),
        ] {
            let x = Var64::parameter("x", x);
            assert_eq!(x.prod().backward()[&x].to_vec(), prod);
            assert_eq!(x.cumprod(0).sum().backward()[&x].to_vec(), cumprod);
            assert_eq!(x.cumprod(0).value().to_vec(), x.value().cumprod(0).to_vec());
        }
        let none = Var64::parameter("none", chainrule_tensor::Tensor64::zeros([2, 0]));
        let y = none.prod_axes(&[1], false);
        assert_eq!((y.value().to_vec(), y.sum().backward()[&none].numel()), (vec![1.0, 1.0], 0));
        assert_eq!(none.cumprod(1).shape(), [2, 0]);
    }
}
