//! ln and the functions built on it: `ln_1p`, softplus.
//!
//! **Reduction.** `x = 2ᵏ m` with m in [√½, √2), read off the bits, and `f = m - 1` is exact; `ln x = k ln 2 + ln(1 + f)`.
//!
//! **Polynomial.** With `s = f / (2 + f)`, `1 + f = (1 + s) / (1 - s)` and `ln(1 + f) = 2 atanh(s) = 2s + s R`, where
//! `R = s² P(s²)` is short because s² ≤ 0.03. To keep the exact f as the large part, `2s = f - s f` is rewritten with
//! `h = f²/2`: `ln(1 + f) = f - (h - s (h + R))` (the arrangement of fdlibm's `e_log.c`, Sun Microsystems 1993).

use super::exponential::exp;
use super::format::{Format, polynomial};

/// `k ln 2 + ln(1 + f) + low`, the small terms first.
#[inline(always)]
fn compose<T: Format>(k: T, f: T, low: T) -> T {
    let (h, product) = tail(f, T::LN);
    k * T::LN2_HIGH - ((h - (product + (k * T::LN2_LOW + low))) - f)
}

/// `(h, s (h + R))`, what `ln(1 + f) = f - (h - s (h + R))` takes from f; the coefficients are those of P.
#[inline(always)]
fn tail<T: Format>(f: T, coefficients: &[T]) -> (T, T) {
    let s = f / (T::TWO + f);
    let z = s * s;
    let h = T::HALF * f * f;
    (h, s * (h + z * polynomial(z, coefficients)))
}

/// `(k, f)` with `x = 2ᵏ (1 + f)`, for a positive x, subnormals included.
#[inline(always)]
pub(super) fn decompose<T: Format>(x: T) -> (T, T) {
    let subnormal = x < T::MIN_POSITIVE;
    let (k, m) = (if subnormal { x * T::RAISE } else { x }).split_exponent();
    (if subnormal { k - T::RAISE_BY } else { k }, m - T::ONE)
}

/// `k ln 2 + ln(1 + f)`; what is outside (0, ∞) goes through the same arithmetic and is replaced at the end.
#[inline(always)]
pub(super) fn ln<T: Format>(x: T) -> T {
    let (k, f) = decompose(x);
    outside_domain(x, x, compose(k, f, T::ZERO))
}

/// `ln(1 + x)` from the rounded `u = 1 + x` and what the rounding lost, c: `ln(u + c) ≈ ln u + c/u`.
///
/// Where u needs no reduction (k = 0), f is x itself and nothing was lost.
#[inline(always)]
pub(super) fn ln_1p<T: Format>(x: T) -> T {
    let u = T::ONE + x;
    let (k, m) = u.split_exponent();
    // Each side subtracts exactly: the larger of 1 and x is taken from u first.
    let lost = if k > T::ZERO { T::ONE - (u - x) } else { x - (u - T::ONE) };
    let (f, low) = if k == T::ZERO { (x, T::ZERO) } else { (m - T::ONE, lost / u) };
    let inside = if x.abs() < T::TINY { x } else { compose(k, f, low) };
    outside_domain(x, u, inside)
}

/// `k + ln(1 + f)/ln 2`: exact for powers of 2.
#[inline(always)]
pub(super) fn log2<T: Format>(x: T) -> T {
    let (k, f) = decompose(x);
    outside_domain(x, x, k + compose(T::ZERO, f, T::ZERO) * T::LOG2_E)
}

/// `k log₁₀ 2 + ln(1 + f)/ln 10`.
#[inline(always)]
pub(super) fn log10<T: Format>(x: T) -> T {
    let (k, f) = decompose(x);
    outside_domain(x, x, k * T::LOG10_2_HIGH + (k * T::LOG10_2_LOW + compose(T::ZERO, f, T::ZERO) * T::LOG10_E))
}

/// The logarithm of u at 0, ∞, below 0 and at NaN (argument is x); `inside` elsewhere.
#[inline(always)]
fn outside_domain<T: Format>(x: T, u: T, inside: T) -> T {
    let y = if u == T::ZERO { -T::INFINITY } else { inside };
    let y = if x == T::INFINITY { x } else { y };
    if u < T::ZERO || x.is_nan() { T::NAN } else { y }
}

/// `max(x, 0) + ln_1p(e)`, `e = exp(-|x|)`: both terms are positive, so nothing cancels, and nothing overflows.
///
/// e is in [0, 1], where 1 + e needs no reduction: a longer polynomial, good for s up to 1/3, takes the whole range, and
/// `ln_1p(e)` starts from an exact e however small it is.
#[inline(always)]
pub(super) fn softplus<T: Format>(x: T) -> T {
    let e = exp(-x.abs());
    let (h, product) = tail(e, T::SOFTPLUS);
    let linear = if x > T::ZERO { x } else { T::ZERO };
    linear + (e - (h - product))
}
