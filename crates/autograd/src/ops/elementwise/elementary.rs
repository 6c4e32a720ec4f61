//! Elementary functions: powers and roots, exponential and logarithm, absolute value and clamp.

use chainrule_tensor::{Binary, Float, Unary};

use super::function::{Forward, Function, Slope, function, gradient};
use crate::attribute::Attribute;
use crate::graph::{Operation, VarOf};

function! {
    /// The exponential.
    pub fn exp() = "e^x", Unary::Exp;
    slope(y) = "y", |dy| dy * y;
}

function! {
    /// The natural logarithm. −∞ at 0, NaN for x < 0.
    pub fn log() = "ln(x)", Unary::Log;
    slope(x) = "1/x", |dy| dy / x;
}

function! {
    /// f′ is ∞ at 0. NaN for x < 0.
    pub fn sqrt() = "√x", Unary::Sqrt;
    slope(y) = "1/(2y)", |dy| dy / (2.0 * y);
}

function! {
    /// The square.
    pub fn square() = "x²", Unary::Square;
    slope(x) = "2x", |dy| 2.0 * (x * dy);
}

function! {
    /// f′ is 0 for p = 0. NaN for x < 0 unless p is an integer.
    pub fn pow(p "p") = "x^p", Unary::Pow(p);
    slope(x) = "p·x^(p − 1)", |dy| match p {
        0.0 => 0.0 * dy,
        1.0 => dy.clone(),
        p => dy * (p * x.pow(p - 1.0)),
    };
}

function! {
    /// The absolute value. f′ is 0 at 0, as in `PyTorch`.
    pub fn abs() = "|x|", Unary::Abs;
    slope(x) = "sign(x)", |dy| dy * VarOf::constant(x.value().unary(Unary::Sign));
}

function! {
    fn clamp_ordered(lo "lo", hi "hi") as "clamp" = "max(lo, min(x, hi))", Unary::Clamp(lo, hi);
    slope(x) = "s, s = 1 where lo < x < hi, else 0", Binary::ClampBackward(lo, hi);
    curvature = 0;
}

impl<T: Float> VarOf<T> {
    /// `y = max(lo, min(x, hi))`; `dx = dy` where lo < x < hi, else 0: also at the bounds, as in `PyTorch`. NaN stays NaN.
    ///
    /// # Panics
    /// Unless `lo` ≤ `hi`.
    #[track_caller]
    #[must_use]
    pub fn clamp(&self, lo: f64, hi: f64) -> Self {
        assert!(lo <= hi, "clamp: the bounds are {lo} and {hi}\n  rule: lo ≤ hi");
        self.clamp_ordered(lo, hi)
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn exp_by_hand() {
        let x = Var64::parameter("x", [0.0, 1.0]);
        let dx = x.exp().sum().backward()[&x].to_vec();
        assert_eq!(dx[0], 1.0);
        assert!((dx[1] - std::f64::consts::E).abs() < 1e-15);
    }

    #[test]
    fn log_by_hand() {
        let x = Var64::parameter("x", 4.0);
        assert_eq!(x.log().backward()[&x].item(), 0.25);
    }

    #[test]
    fn powers_by_hand() {
        let x = Var64::parameter("x", 4.0);
        assert_eq!(x.pow(3.0).backward()[&x].item(), 48.0);
        assert_eq!(x.pow(-1.0).backward()[&x].item(), -1.0 / 16.0);
        assert_eq!(x.pow(0.0).backward()[&x].item(), 0.0);
        assert_eq!(x.square().backward()[&x].item(), 8.0);
        assert_eq!(x.sqrt().backward()[&x].item(), 0.25);
    }

    #[test]
    fn abs_by_hand() {
        let x = Var64::parameter("x", [-2.0, 0.0, 3.0]);
        assert_eq!(x.abs().sum().backward()[&x].to_vec(), [-1.0, 0.0, 1.0]);
    }

    #[test]
    fn clamp_by_hand() {
        let x = Var64::parameter("x", [-3.0, 0.5, 1.0, 2.0]);
        assert_eq!(x.clamp(0.0, 1.0).sum().backward()[&x].to_vec(), [0.0, 1.0, 0.0, 0.0]);
    }
}
