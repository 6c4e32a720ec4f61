//! Activation functions.

use std::f64::consts::{FRAC_2_PI, TAU};

use chainrule_tensor::{Binary, Compare, Float, TensorOf, Unary, ranges};

use super::function::{Forward, Function, Slope, function, gradient};
use crate::attribute::Attribute;
use crate::graph::{Operation, Tangent, VarOf};

function! {
    /// The rectified linear unit. f′ is 0 at 0, as in `PyTorch`. NaN stays NaN.
    pub fn relu() = "max(x, 0)", Unary::Relu, tangent (|x, t| where_positive(x, t));
    slope(y) = "s, s = 1 where y > 0, else 0", Binary::ReluBackward;
    curvature = 0;
}

function! {
    /// f′ is α at 0. α may be any finite number: 0 gives relu, 1 the identity, −1 the absolute value.
    ///
    /// # Panics
    /// If the slope is infinite or NaN.
    pub fn leaky_relu(slope "α" in FINITE) = "x where x > 0, else αx", Unary::LeakyRelu(slope);
    slope(x) = "s, s = 1 where x > 0, else α", Binary::LeakyReluBackward(slope);
    curvature = 0;
}

function! {
    /// The exponential linear unit (Clevert, Unterthiner, Hochreiter: "Fast and accurate deep network learning by
    /// exponential linear units", 2015). f′ is α at 0, as in `PyTorch`.
    ///
    /// # Panics
    /// If α is infinite or NaN.
    pub fn elu(alpha "α" in FINITE) = "x where x > 0, else α(e^x − 1)", Unary::Elu(alpha);
    slope(x) = "s, s = 1 where x > 0, else α·e^x", Binary::EluBackward(alpha);
    curvature = "c, c = 0 where x > 0, else α·e^x", {
        let zero = TensorOf::scalar(T::ZERO);
        let below = x.value().compare(Compare::LessEqual, &zero);
        // Clamped at 0, since e^x may overflow where it is not selected, and 0·∞ is NaN.
        (alpha * x.clamp(f64::NEG_INFINITY, 0.0).exp()).select(&below, &VarOf::constant(zero))
    };
}

function! {
    /// The logistic function σ. No overflow at any x.
    pub fn sigmoid() = "1/(1 + e^(−x))", Unary::Sigmoid;
    slope(y) = "y(1 − y)", Binary::SigmoidBackward;
    curvature = "(1 − 2y)", 1.0 - 2.0 * y;
}

function! {
    /// The hyperbolic tangent.
    pub fn tanh() = "tanh(x)", Unary::Tanh;
    slope(y) = "(1 − y²)", Binary::TanhBackward;
    curvature = "(−2y)", -2.0 * y;
}

function! {
    /// A smooth approximation of relu, computed as `max(x, 0) + ln(1 + e^−|x|)`.
    pub fn softplus() = "ln(1 + e^x)", Unary::Softplus;
    slope(x) = "σ(x)", Binary::SoftplusBackward;
    curvature = "s(1 − s), s = σ(x)", {
        let s = x.sigmoid();
        &s * (1.0 - &s)
    };
}

function! {
    /// Swish, also called `SiLU` for β = 1 (Ramachandran, Zoph, Le: "Searching for activation functions", 2017).
    /// β → 0 gives x/2, β → ∞ gives relu.
    ///
    /// # Panics
    /// If β is infinite or NaN.
    pub fn swish(beta "β" in FINITE) = "x·σ(βx)", Unary::Swish(beta);
    slope(x) = "(s + βx·s(1 − s)), s = σ(βx)", Binary::SwishBackward(beta);
    curvature = "β·s(1 − s)(2 + βx(1 − 2s))", {
        let s = (beta * x).sigmoid();
        beta * (&s * (1.0 - &s) * (2.0 + beta * x * (1.0 - 2.0 * &s)))
    };
}

function! {
    /// Mish (Misra: "Mish: a self regularized non-monotonic activation function", 2019).
    pub fn mish() = "x·tanh(softplus(x))", Unary::Mish;
    slope(x) = "(t + x(1 − t²)·s), t = tanh(softplus(x)), s = σ(x)", Binary::MishBackward;
    curvature = "(1 − t²)·s·(2 + x(1 − s) − 2x·t·s)", {
        let (t, s) = (x.softplus().tanh(), x.sigmoid());
        (1.0 - t.square()) * &s * (2.0 + x * (1.0 - &s) - 2.0 * (x * t * &s))
    };
}

function! {
    /// GELU (Hendrycks, Gimpel: "Gaussian error linear units", 2016); Φ is the distribution function of the standard
    /// normal distribution, φ its density.
    pub fn gelu() = "x·Φ(x)", Unary::Gelu;
    slope(x) = "(Φ(x) + x·φ(x))", Binary::GeluBackward;
    curvature = "φ(x)·(2 − x²)", {
        let density = (-0.5 * x.square()).exp() * (1.0 / TAU.sqrt());
        density * (2.0 - x.square())
    };
}

/// The coefficient of x³ in the approximation of [`gelu`](VarOf::gelu).
const CUBIC: f64 = 0.044_715;

function! {
    /// The tanh approximation of [`gelu`](Self::gelu) from the same paper.
    pub fn gelu_tanh() = "x/2·(1 + tanh(u)), u = √(2/π)·(x + 0.044715x³)", Unary::GeluTanh;
    slope(x) = "((1 + t)/2 + x/2·(1 − t²)·u′), t = tanh(u), u = √(2/π)·(x + 0.044715x³), \
        u′ = √(2/π)·(1 + 3·0.044715x²)", Binary::GeluTanhBackward;
    curvature = "(1 − t²)·(u′ + x/2·u″ − x·t·u′²), u″ = √(2/π)·6·0.044715x", {
        let c = FRAC_2_PI.sqrt();
        let t = (c * (x + CUBIC * x.pow(3.0))).tanh();
        let u1 = c * (1.0 + (3.0 * CUBIC) * x.square());
        let u2 = (c * 6.0 * CUBIC) * x;
        (1.0 - t.square()) * (&u1 + 0.5 * (x * u2) - x * &t * u1.square())
    };
}

/// t where x > 0, else 0: the tangent of relu.
pub(in crate::ops) fn where_positive<T: Float>(x: &VarOf<T>, t: &VarOf<T>) -> VarOf<T> {
    let zero = TensorOf::scalar(T::ZERO);
    t.select(&x.value().compare(Compare::Greater, &zero), &VarOf::constant(zero))
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn relu_by_hand() {
        let x = Var64::parameter("x", [-1.0, 0.0, 2.0]);
        assert_eq!(x.relu().sum().backward()[&x].to_vec(), [0.0, 0.0, 1.0]);
        assert!(Var64::constant(f64::NAN).relu().item().is_nan());
    }

    #[test]
    fn leaky_relu_by_hand() {
        let x = Var64::parameter("x", [-3.0, 0.0, 2.0]);
        let y = x.leaky_relu(-1.0);
        assert_eq!(y.value().to_vec(), [3.0, 0.0, 2.0]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [-1.0, -1.0, 1.0]);
    }

    #[test]
    fn elu_by_hand() {
        let x = Var64::parameter("x", [1000.0, 0.0, -1000.0]);
        let y = x.elu(2.0);
        assert_eq!(y.value().to_vec(), [1000.0, 0.0, -2.0]);
        let dx = y.sum().gradient(&x);
        assert_eq!(dx.value().to_vec(), [1.0, 2.0, 0.0]);
        assert_eq!(dx.sum().gradient(&x).value().to_vec(), [0.0, 2.0, 0.0]);
    }

    #[test]
    fn sigmoid_by_hand() {
        let x = Var64::parameter("x", [0.0, 1000.0, -1000.0]);
        let y = x.sigmoid();
        assert_eq!(y.value().to_vec(), [0.5, 1.0, 0.0]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.25, 0.0, 0.0]);
    }

    #[test]
    fn tanh_by_hand() {
        let x = Var64::parameter("x", [0.0, 1000.0]);
        assert_eq!(x.tanh().sum().backward()[&x].to_vec(), [1.0, 0.0]);
    }

    #[test]
    fn softplus_by_hand() {
        let x = Var64::parameter("x", [0.0, 1000.0, -1000.0]);
        let y = x.softplus();
        assert_eq!(y.value().to_vec(), [2f64.ln(), 1000.0, 0.0]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.5, 1.0, 0.0]);
    }

    #[test]
    fn swish_by_hand() {
        let x = Var64::parameter("x", [0.0, 1000.0, -1000.0]);
        let y = x.swish(1.0);
        assert_eq!(y.value().to_vec(), [0.0, 1000.0, 0.0]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.5, 1.0, 0.0]);
    }

    #[test]
    fn mish_by_hand() {
        let x = Var64::parameter("x", [0.0, 1000.0, -1000.0]);
        let y = x.mish();
        assert_eq!(y.value().to_vec(), [0.0, 1000.0, 0.0]);
        let dx = y.sum().backward()[&x].to_vec();
        assert!((dx[0] - 0.6).abs() < 1e-15, "tanh(ln 2) = 3/5");
        assert_eq!(dx[1..], [1.0, 0.0]);
    }

    #[test]
    fn gelu_by_hand() {
        let x = Var64::parameter("x", [0.0, 1000.0, -1000.0]);
        for y in [x.gelu(), x.gelu_tanh()] {
            assert_eq!(y.value().to_vec(), [0.0, 1000.0, 0.0]);
            assert_eq!(y.sum().backward()[&x].to_vec(), [0.5, 1.0, 0.0]);
        }
    }
}
