//! The error function.

use super::exponential::half_exp;
use super::format::{Format, at_most, polynomial};

/// Below 1 the odd polynomial `x + x P(x²)` (P is 0.13 at 0, so its errors shrink by eight), above
/// `1 - erfc(x)` with `erfc(x) = exp(L(x - 1))`, L a polynomial for `ln erfc`.
///
/// erfc(1) is 0.16 and falls fast, so what the exponential gets wrong is a fraction of an ulp of the result. One L
/// serves the whole of [1, 4] (`f32`) or [1, 6] (`f64`), where erf becomes 1; no range has to be looked up.
#[inline(always)]
pub(super) fn erf<T: Format>(x: T) -> T {
    let a = x.abs();
    let near = a + a * polynomial(a * a, T::ERF);
    let half_erfc = half_exp(polynomial(at_most(a, T::ERF_END) - T::ONE, T::ERFC_LOG));
    let far = T::ONE - (half_erfc + half_erfc);
    (if a < T::ONE { near } else { far }).copysign(x)
}
