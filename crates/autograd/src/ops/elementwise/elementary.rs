//! Elementary functions: powers and roots, exponential and logarithms, absolute value and clamp.

use std::f64::consts::{FRAC_2_SQRT_PI, LN_2, LN_10};

use chainrule_tensor::{Binary, Compare, Float, TensorOf, Unary};

use super::function::{Forward, Function, Slope, function, gradient};
use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, VarOf};

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
    /// The exponential less 1, without the cancellation near 0.
    pub fn expm1() = "e^x − 1", Unary::Expm1;
    slope(y) = "(y + 1)", |dy| dy * (y + 1.0);
}

function! {
    /// The natural logarithm of 1 + x, which keeps the digits of x near 0. −∞ at −1, NaN for x < −1.
    pub fn log1p() = "ln(1 + x)", Unary::Log1p;
    slope(x) = "1/(1 + x)", |dy| dy / (1.0 + x);
}

function! {
    /// The logarithm to base 2. −∞ at 0, NaN for x < 0.
    pub fn log2() = "ln(x)/ln(2)", Unary::Log2;
    slope(x) = "1/(x·ln(2))", |dy| dy / (LN_2 * x);
}

function! {
    /// The logarithm to base 10. −∞ at 0, NaN for x < 0.
    pub fn log10() = "ln(x)/ln(10)", Unary::Log10;
    slope(x) = "1/(x·ln(10))", |dy| dy / (LN_10 * x);
}

function! {
    /// The error function, `2/√π · ∫₀ˣ e^(−t²) dt`.
    pub fn erf() = "erf(x)", Unary::Erf;
    slope(x) = "2/√π·e^(−x²)", |dy| dy * (FRAC_2_SQRT_PI * (-x.square()).exp());
}

function! {
    /// The reciprocal square root. ∞ at 0, where f′ is −∞; NaN for x < 0.
    pub fn rsqrt() = "1/√x", Unary::Rsqrt;
    slope(y) = "(−y³/2)", |dy| -0.5 * (dy * y.pow(3.0));
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

impl<T: Float> VarOf<T> {
    /// `y = a^b`, where a is this variable and the exponent b another; `da = dy · b·a^(b − 1)` and 0 where b = 0,
    /// `db = dy · y·ln a` and 0 where a = 0 ≤ b, as in `PyTorch`. NaN for a < 0 unless b is an integer. For an exponent that is a
    /// number there is [`pow`](Self::pow).
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    #[must_use]
    pub fn power(&self, b: &Self) -> Self {
        Self::record(self.value().binary(Binary::Power, &b.value()), [self, b], Power)
    }
}

struct Power;

impl<T: Float> Rule<T> for Power {
    describe! {
        name: "power",
        formula: "y = a^b",
        derivative: "da = dy · b·a^(b − 1), db = dy · y·ln(a)",
        saved: "a, b, y",
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (a, b, y) = (op.parent(0), op.parent(1), op.output());
        let zero = || VarOf::constant(TensorOf::scalar(T::ZERO));
        let is = |x: &VarOf<T>, relation| x.value().compare(relation, &TensorOf::scalar(T::ZERO));
        let to_a = || zero().select(&is(b, Compare::Equal), &(dy * (b * a.power(&(b - 1.0)))));
        let to_b = || {
            // Both masks as numbers: their product is 1 where both hold.
            let [base, exponent] = [is(a, Compare::Equal), is(b, Compare::GreaterEqual)].map(|mask| mask.cast::<T>());
            let both = exponent.binary(Binary::Mul, &base).compare(Compare::NotEqual, &TensorOf::scalar(T::ZERO));
            zero().select(&both, &(dy * (y * a.log())))
        };
        vec![needs[0].then(|| to_a().sum_to(a.shape())), needs[1].then(|| to_b().sum_to(b.shape()))]
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

    #[test]
    fn logarithms_by_hand() {
        let x = Var64::parameter("x", 8.0);
        assert_eq!(x.log2().item(), 3.0);
        assert!((x.log2().backward()[&x].item() - 1.0 / (8.0 * 2f64.ln())).abs() < 1e-16);
        let x = Var64::parameter("x", 1e-20);
        assert_eq!([x.log1p().item(), x.expm1().item()], [1e-20; 2]);
        assert_eq!(x.log1p().backward()[&x].item(), 1.0);
    }

    #[test]
    fn rsqrt_by_hand() {
        let x = Var64::parameter("x", 4.0);
        assert_eq!(x.rsqrt().item(), 0.5);
        assert_eq!(x.rsqrt().backward()[&x].item(), -1.0 / 16.0);
    }

    /// Gradients of zeros, as in `PyTorch`.
    #[test]
    fn power_by_hand() {
        let a = Var64::parameter("a", [0.0, 0.0, 0.0, 0.0, -2.0, 2.0]);
        let b = Var64::parameter("b", [0.0, 2.0, -1.0, 1.0, 2.0, 0.0]);
        let y = a.power(&b);
        assert_eq!(y.value().to_vec(), [1.0, 0.0, f64::INFINITY, 0.0, 4.0, 1.0]);
        let g = y.sum().backward();
        assert_eq!(g[&a].to_vec(), [0.0, 0.0, f64::NEG_INFINITY, 1.0, -4.0, 0.0]);
        let to_b = g[&b].to_vec();
        assert_eq!(to_b[..4], [0.0, 0.0, f64::NEG_INFINITY, 0.0]);
        assert!(to_b[4].is_nan());
        assert_eq!(to_b[5], 2f64.ln());
    }
}
