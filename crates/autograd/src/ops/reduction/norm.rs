//! Norms and the standard deviation, whose gradients at 0 are 0.

use chainrule_tensor::{Compare, Float, TensorOf};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::{open, open_with};

impl<T: Float> VarOf<T> {
    /// The p-norm of all elements. See [`norm_axes`](Self::norm_axes).
    ///
    /// # Panics
    /// If p is NaN, or infinite and there are no elements.
    #[track_caller]
    #[must_use]
    pub fn norm(&self, p: f64) -> Self {
        self.norm_axes(p, &[], false)
    }

    /// The p-norm along some axes (none means all): `(Σ |x|^p)^(1/p)`, for p = ±∞ the largest or smallest |x|, for p = 0 the
    /// number of elements that are not 0 (`torch.linalg.vector_norm`).
    ///
    /// `dx = dy · sign(x) · (|x|/y)^(p − 1)`. As in `PyTorch` it is 0 where x = 0 and where y = 0; for p = ±∞ equal elements share
    /// dy; for p = 0 no gradient flows. The sum of the powers overflows before the norm does.
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// let x = Var64::parameter("x", [[2.0, -2.0, 2.0, 2.0], [0.0; 4]]);
    /// let y = x.norm_axes(2.0, &[1], false);
    /// assert_eq!(y.value().to_vec(), [4.0, 0.0]);
    /// assert_eq!(y.sum().backward()[&x].to_vec(), [0.5, -0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0]);
    /// ```
    ///
    /// # Panics
    /// If an axis is out of range, p is NaN, or p is infinite and there are no elements.
    #[track_caller]
    #[must_use]
    pub fn norm_axes(&self, p: f64, axes: &[isize], keepdim: bool) -> Self {
        assert!(!p.is_nan(), "norm: p is NaN\n  rule: a number, ∞ or −∞");
        let _scope = open_with("norm", || vec![Attribute::new("p", p)]);
        if p == 0.0 {
            let nonzero = self.value().compare(Compare::NotEqual, &TensorOf::scalar(T::ZERO));
            return Self::constant(nonzero.cast::<T>().sum(axes, keepdim));
        }
        if p == f64::INFINITY {
            return self.abs().max_axes(axes, keepdim);
        }
        if p == f64::NEG_INFINITY {
            return self.abs().min_axes(axes, keepdim);
        }
        if p == 1.0 {
            return self.abs().sum_axes(axes, keepdim);
        }
        if p == 2.0 {
            return away_from_zero(&self.square().sum_axes(axes, keepdim), 0.0, VarOf::sqrt);
        }
        // 0^p, without the slope there.
        let of_zero = if p < 0.0 { f64::INFINITY } else { 0.0 };
        let sum = away_from_zero(&self.abs(), of_zero, |x| x.pow(p)).sum_axes(axes, keepdim);
        // 0^(1/p), which is the same.
        away_from_zero(&sum, of_zero, |sum| sum.pow(1.0 / p))
    }

    /// The standard deviation of all elements. See [`std_axes`](Self::std_axes).
    #[must_use]
    #[track_caller]
    pub fn std(&self, correction: usize) -> Self {
        self.std_axes(&[], correction, false)
    }

    /// The standard deviation along some axes (none means all): the root of [`var_axes`](Self::var_axes);
    /// `dx = dy · (x − mean) / ((n − correction) · y)`, and 0 where y = 0 (as in `PyTorch`).
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn std_axes(&self, axes: &[isize], correction: usize, keepdim: bool) -> Self {
        let _scope = open("std");
        away_from_zero(&self.var_axes(axes, correction, keepdim), 0.0, VarOf::sqrt)
    }
}

/// f(x) where x is not 0, else the constant `at_zero`: the gradient is 0 there, although the slope of f may be infinite. f
/// gets 1 there, so that its gradient is finite (see [`VarOf::select`]).
fn away_from_zero<T: Float>(x: &VarOf<T>, at_zero: f64, f: impl Fn(&VarOf<T>) -> VarOf<T>) -> VarOf<T> {
    let zero = x.value().compare(Compare::Equal, &TensorOf::scalar(T::ZERO));
    let [one, at_zero] = [1.0, at_zero].map(|value| VarOf::constant(T::from_f64(value)));
    at_zero.select(&zero, &f(&one.select(&zero, x)))
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    const INF: f64 = f64::INFINITY;

    /// The values are those of PyTorch 2.15.
    #[test]
    fn norms_at_zeros_and_ties() {
        for (p, x, y, dx) in [
            (0.5, [0.0, 0.0], 0.0, [0.0, 0.0]),
            (0.5, [0.0, 2.0], 2.0, [0.0, 1.0]),
            (1.0, [0.0, -2.0], 2.0, [0.0, -1.0]),
            (1.5, [0.0, 0.0], 0.0, [0.0, 0.0]),
            (1.5, [0.0, 2.0], 2.0, [0.0, 1.0]),
            (2.0, [0.0, 0.0], 0.0, [0.0, 0.0]),
            (2.0, [0.0, 2.0], 2.0, [0.0, 1.0]),
            (3.0, [0.0, 0.0], 0.0, [0.0, 0.0]),
            (3.0, [0.0, -2.0], 2.0, [0.0, -1.0]),
            (-1.0, [0.0, 2.0], 0.0, [0.0, 0.0]),
            (INF, [0.0, 0.0], 0.0, [0.0, 0.0]),
            (INF, [2.0, -2.0], 2.0, [0.5, -0.5]),
            (-INF, [2.0, -2.0], 2.0, [0.5, -0.5]),
            (-INF, [0.0, 2.0], 0.0, [0.0, 0.0]),
        ] {
            let v = Var64::parameter("x", x);
            let norm = v.norm(p);
            assert!((norm.item() - y).abs() < 1e-15, "{p} of {x:?}: {}", norm.item());
            let found = norm.backward()[&v].to_vec();
            let near = found.iter().zip(dx).all(|(a, b)| (a - b).abs() < 1e-15);
            assert!(near, "the gradient of {p} of {x:?}: {found:?}");
        }
        assert_eq!(Var64::constant([0.0, f64::NAN, 3.0]).norm(0.0).item(), 2.0);
        assert!([0.5, 1.0, 2.0, 3.0, INF].iter().all(|&p| Var64::constant([f64::NAN, 1.0]).norm(p).item().is_nan()));
    }

    #[test]
    fn a_deviation_of_0_has_gradient_0() {
        let x = Var64::parameter("x", [[1.0, 1.0], [1.0, 3.0]]);
        let y = x.std_axes(&[1], 1, false);
        assert_eq!((y.value().to_vec()[0], y.value().at(&[1])), (0.0, 2f64.sqrt()));
        let dx = y.sum().backward()[&x].to_vec();
        assert!(dx[..2] == [0.0, 0.0] && (dx[3] - 0.5f64.sqrt()).abs() < 1e-15, "{dx:?}");
        assert!(Var64::constant([1.0]).std(1).item().is_nan());
    }
}
