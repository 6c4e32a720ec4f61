//! The formulas of unary functions and their gradients.

#![expect(
    clippy::inline_always,
    reason = "loops are vectorized only where they are inlined into a variant of `dispatch`"
)]

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use crate::element::Float;

/// `max(x, 0)`; NaN propagates.
#[inline(always)]
pub(crate) fn relu<T: Float>(x: T) -> T {
    if x <= T::ZERO { T::ZERO } else { x }
}

/// The gradient of relu: dy where its result y is above 0, else 0.
#[inline(always)]
pub(crate) fn relu_backward<T: Float>(dy: T, y: T) -> T {
    if y > T::ZERO { dy } else { T::ZERO }
}

/// `a − b·⌊a/b⌋` without rounding but of the last sum: what is left of a, with the sign of b.
#[inline(always)]
pub(super) fn remainder<T: Float>(a: T, b: T) -> T {
    let rest = a % b;
    if rest != T::ZERO && (rest < T::ZERO) != (b < T::ZERO) { rest + b } else { rest }
}

/// `x·weight`, but 0 for a weight of 0 even if x is infinite: the limit of functions whose weight vanishes exponentially.
#[inline(always)]
pub(super) fn times<T: Float>(x: T, weight: T) -> T {
    if weight == T::ZERO { T::ZERO } else { x * weight }
}

/// `(σ(u), σ(u)(1 − σ(u)))`, computed from `e = exp(−|u|)` so that the derivative is accurate in both tails.
#[inline(always)]
pub(super) fn logistic<T: Float>(u: T) -> (T, T) {
    let e = T::exp(-u.abs());
    let share = T::ONE / (T::ONE + e);
    (if u < T::ZERO { e * share } else { share }, e * share * share)
}

/// `tanh(ln(1 + eˣ)) = ((1 + eˣ)² − 1) / ((1 + eˣ)² + 1)`, computed from `e = exp(−|x|)`, which never overflows.
#[inline(always)]
pub(super) fn tanh_softplus<T: Float>(x: T) -> T {
    let two = T::ONE + T::ONE;
    let e = T::exp(-x.abs());
    if x < T::ZERO {
        let n = e * (e + two);
        n / (n + two)
    } else {
        let n = T::ONE + two * e;
        n / (n + two * e * e)
    }
}

/// `t + x(1 − t²)σ(x)` with t = tanh(softplus x), computed from `e = exp(−|x|)`:
/// for x < 0, n = e² + 2e and d = n + 2, t = n/d and (1 − t²)σ = 4e(1 + e)/d²;
/// else n = 1 + 2e and d = n + 2e², t = n/d and (1 − t²)σ = 4e²(1 + e)/d².
#[inline(always)]
pub(super) fn mish_slope<T: Float>(x: T) -> T {
    let two = T::ONE + T::ONE;
    let e = T::exp(-x.abs());
    let below = x < T::ZERO;
    let n = if below { e * (e + two) } else { T::ONE + two * e };
    let d = if below { n + two } else { n + two * e * e };
    let decay = if below { e } else { e * e };
    n / d + times(x, (two + two) * decay * (T::ONE + e) / (d * d))
}

/// `Φ(x) = (1 + erf(x/√2))/2`.
#[inline(always)]
pub(super) fn normal_distribution<T: Float>(x: T) -> T {
    let half = T::from_f64(0.5);
    half + half * T::erf(x * T::from_f64(FRAC_1_SQRT_2))
}

/// `φ(x) = exp(−x²/2)/√(2π)`.
#[inline(always)]
pub(super) fn normal_density<T: Float>(x: T) -> T {
    let half = T::from_f64(0.5);
    T::from_f64(0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2) * T::exp(-half * (x * x))
}

/// `2√(2/π)`.
#[inline(always)]
fn gelu_scale<T: Float>() -> T {
    T::from_f64(2.0 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2)
}

/// `v = 2√(2/π)·(x + 0.044715x³)`, twice the argument of the tanh in the approximation of gelu by Hendrycks and Gimpel.
#[inline(always)]
pub(super) fn gelu_argument<T: Float>(x: T) -> T {
    gelu_scale::<T>() * (x + T::from_f64(0.044_715) * (x * x * x))
}

/// `x·v′ = 2√(2/π)·(x + 3·0.044715x³)`.
#[inline(always)]
pub(super) fn gelu_rise<T: Float>(x: T) -> T {
    gelu_scale::<T>() * (x + T::from_f64(3.0 * 0.044_715) * (x * x * x))
}
