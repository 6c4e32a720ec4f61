//! Hyperbolic sine and cosine.

use super::exponential::{exp, exp_m1};
use super::format::{Format, at_most};

/// `(eˣ - e⁻ˣ)/2`: with m = eˣ - 1, `(m + m/(m + 1))/2`, where nothing cancels. From 20 or 40 on e⁻ˣ is under half an ulp,
/// and `eˣ/2` is a product, since eˣ overflows before its half does.
#[inline(always)]
pub(super) fn sinh<T: Format>(x: T) -> T {
    let a = x.abs();
    let m = exp_m1(at_most(a, T::ONE_FROM));
    let near = T::HALF * (m + m / (m + T::ONE));
    let far = half_exp_of_large(a);
    let y = if a < T::ONE_FROM { near } else { far };
    if a < T::TINY { x } else { y.copysign(x) }
}

/// `(eˣ + e⁻ˣ)/2`.
#[inline(always)]
pub(super) fn cosh<T: Format>(x: T) -> T {
    let a = x.abs();
    let e = exp(at_most(a, T::ONE_FROM));
    let near = T::HALF * e + T::HALF / e;
    if a < T::ONE_FROM { near } else { half_exp_of_large(a) }
}

#[inline(always)]
fn half_exp_of_large<T: Format>(a: T) -> T {
    let root = exp(T::HALF * a);
    (T::HALF * root) * root
}
