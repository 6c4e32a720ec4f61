//! Circular and hyperbolic functions and their inverses. Angles are in radians.

use chainrule_tensor::{Binary, Compare, Float, TensorOf, Unary};

use super::function::{Forward, Function, function};
use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, VarOf};

function! {
    /// The sine, of an angle of any size: its reduction keeps all digits. NaN for ±∞.
    pub fn sin() = "sin(x)", Unary::Sin;
    slope(x) = "cos(x)", |dy| dy * x.cos();
}

function! {
    /// The cosine, of an angle of any size: its reduction keeps all digits. NaN for ±∞.
    pub fn cos() = "cos(x)", Unary::Cos;
    slope(x) = "(−sin(x))", |dy| -(dy * x.sin());
}

function! {
    /// The tangent, of an angle of any size: its reduction keeps all digits. NaN for ±∞.
    pub fn tan() = "tan(x)", Unary::Tan;
    slope(y) = "(1 + y²)", |dy| dy * (1.0 + y.square());
}

function! {
    /// The inverse sine, in [−π/2, π/2]. f′ is ∞ at ±1, as in `PyTorch`. NaN for |x| > 1.
    pub fn asin() = "asin(x)", Unary::Asin;
    slope(x) = "1/√(1 − x²)", |dy| dy / (1.0 - x.square()).sqrt();
}

function! {
    /// The inverse cosine, in [0, π]. f′ is −∞ at ±1, as in `PyTorch`. NaN for |x| > 1.
    pub fn acos() = "acos(x)", Unary::Acos;
    slope(x) = "(−1/√(1 − x²))", |dy| -dy / (1.0 - x.square()).sqrt();
}

function! {
    /// The inverse tangent, in [−π/2, π/2].
    pub fn atan() = "atan(x)", Unary::Atan;
    slope(x) = "1/(1 + x²)", |dy| dy / (1.0 + x.square());
}

function! {
    /// The hyperbolic sine.
    pub fn sinh() = "sinh(x)", Unary::Sinh;
    slope(x) = "cosh(x)", |dy| dy * x.cosh();
}

function! {
    /// The hyperbolic cosine.
    pub fn cosh() = "cosh(x)", Unary::Cosh;
    slope(x) = "sinh(x)", |dy| dy * x.sinh();
}

impl<T: Float> VarOf<T> {
    /// `y = atan2(a, b)`, the angle of the point (b, a) in [−π, π], where a is this variable; `da = dy · b/(a² + b²)`,
    /// `db = −dy · a/(a² + b²)`. Both are 0 at the origin, as in `PyTorch`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    #[must_use]
    pub fn atan2(&self, b: &Self) -> Self {
        Self::record(self.value().binary(Binary::Atan2, &b.value()), [self, b], Atan2)
    }
}

struct Atan2;

impl Atan2 {
    /// `a² + b²`, and 1 at the origin, where 0/0 would be NaN.
    fn distance<T: Float>(a: &VarOf<T>, b: &VarOf<T>) -> VarOf<T> {
        let sum = a.square() + b.square();
        let origin = sum.value().compare(Compare::Equal, &TensorOf::scalar(T::ZERO));
        VarOf::constant(TensorOf::scalar(T::ONE)).select(&origin, &sum)
    }
}

impl<T: Float> Rule<T> for Atan2 {
    describe! {
        name: "atan2",
        formula: "y = atan2(a, b)",
        derivative: "da = dy · b/(a² + b²), db = −dy · a/(a² + b²)",
        saved: "a, b",
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (a, b) = (op.parent(0), op.parent(1));
        let share = dy / Self::distance(a, b);
        vec![needs[0].then(|| (&share * b).sum_to(a.shape())), needs[1].then(|| (-(&share * a)).sum_to(b.shape()))]
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::{FRAC_PI_3, FRAC_PI_4, FRAC_PI_6};

    use crate::Var64;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-15, "{a} instead of {b}");
    }

    #[test]
    fn circular_functions_by_hand() {
        let x = Var64::parameter("x", FRAC_PI_6);
        for (y, value, slope) in
            [(x.sin(), 0.5, 0.75f64.sqrt()), (x.cos(), 0.75f64.sqrt(), -0.5), (x.tan(), 1.0 / 3f64.sqrt(), 4.0 / 3.0)]
        {
            close(y.item(), value);
            close(y.backward()[&x].item(), slope);
        }
    }

    #[test]
    fn inverse_functions_by_hand() {
        let x = Var64::parameter("x", 0.5);
        for (y, value, slope) in
            [(x.asin(), FRAC_PI_6, 1.0 / 0.75f64.sqrt()), (x.acos(), FRAC_PI_3, -1.0 / 0.75f64.sqrt())]
        {
            close(y.item(), value);
            close(y.backward()[&x].item(), slope);
        }
        let x = Var64::parameter("x", 1.0);
        close(x.atan().item(), FRAC_PI_4);
        assert_eq!(x.atan().backward()[&x].item(), 0.5);
        assert_eq!(x.asin().backward()[&x].item(), f64::INFINITY);
    }

    #[test]
    fn the_slope_of_sinh_is_cosh_and_conversely() {
        let x = Var64::parameter("x", 0.7);
        assert_eq!(x.sinh().backward()[&x].item(), x.cosh().item());
        assert_eq!(x.cosh().backward()[&x].item(), x.sinh().item());
    }

    #[test]
    fn atan2_by_hand() {
        let (a, b) = (Var64::parameter("a", [1.0, 3.0, 0.0]), Var64::parameter("b", [-1.0, 4.0, 0.0]));
        let y = a.atan2(&b);
        close(y.value().to_vec()[0], 3.0 * FRAC_PI_4);
        let g = y.sum().backward();
        for (found, expected) in g[&a].to_vec().into_iter().zip([-0.5, 4.0 / 25.0, 0.0]) {
            close(found, expected);
        }
        for (found, expected) in g[&b].to_vec().into_iter().zip([-0.5, -3.0 / 25.0, 0.0]) {
            close(found, expected);
        }
    }
}
