//! exp and the functions built on it: `exp_m1`, sigmoid, tanh.
//!
//! **Reduction** (Cody and Waite). With n the integer nearest to x/ln 2, `eˣ = 2ⁿ · eʳ` where `r = x - n ln 2` and
//! |r| ≤ ln(2)/2. ln 2 stands in two parts: n times the first is exact and its difference from x is too, so only the
//! small second part rounds, and r carries the error of one rounding at most.
//!
//! **Polynomial.** `eʳ - 1 = r + r² q(r)`. Since r is exact to a rounding and `r² q(r)` is small beside it, the sum is
//! good to about an ulp of its own, which is at most half an ulp of `1 + (eʳ - 1)`.

use super::format::{Format, at_least, at_most, polynomial};

/// `(n, r)` with `x = n ln 2 + r`.
#[inline(always)]
fn reduce<T: Format>(x: T) -> (T::Bits, T) {
    let (n, bits) = (x * T::LOG2_E).nearest();
    (bits, (x - n * T::LN2_HIGH) - n * T::LN2_LOW)
}

/// `eʳ - 1` for a reduced r.
#[inline(always)]
fn reduced_exp_m1<T: Format>(r: T) -> T {
    r + r * r * polynomial(r, T::EXP)
}

/// `eˣ = 2ⁿ (1 + (eʳ - 1))`. x is clamped to the thresholds, where the scaling itself gives 0 or ∞.
#[inline(always)]
pub(super) fn exp<T: Format>(x: T) -> T {
    exp_sum(x, T::ZERO)
}

/// `exp(x + low)` for a low of less than an ulp of x: low joins r, where an ulp of x is a visible amount.
#[inline(always)]
pub(super) fn exp_sum<T: Format>(x: T, low: T) -> T {
    let held = at_least(at_most(x, T::EXP_HIGH), T::EXP_LOW);
    // A clamped x may be so large that its low exceeds every r.
    let low = if held == x { low } else { T::ZERO };
    let (n, r) = reduce(held);
    (T::ONE + reduced_exp_m1(r + low)).scale(n)
}

/// `eˣ / 2` where neither over- nor underflow can occur: a single factor `2ⁿ⁻¹` does.
#[inline(always)]
pub(super) fn half_exp<T: Format>(x: T) -> T {
    let (n, r) = reduce(x);
    T::half_exp2(n) * (T::ONE + reduced_exp_m1(r))
}

/// `eˣ - 1 = 2ⁿ (eʳ - 1) + (2ⁿ - 1)`, at half size so that `2ⁿ⁻¹` exists for the largest n.
///
/// For n = 0 the second term is 0 and the polynomial's relative accuracy is the result's. A tiny x is its own result;
/// the select also keeps -0 and spares the subnormals the halving.
#[inline(always)]
pub(super) fn exp_m1<T: Format>(x: T) -> T {
    let (n, r) = reduce(at_least(at_most(x, T::EXP_HIGH), -T::ONE_FROM - T::ONE_FROM));
    let power = T::half_exp2(n);
    let half = power * reduced_exp_m1(r) + (power - T::HALF);
    if x.abs() < T::TINY { x } else { half + half }
}

/// `1 / (1 + e⁻ˣ)`, with one rounding in the denominator instead of the three of exp, of 1 + exp and of a second factor.
///
/// With `e^{-|x|} = t eʳ`, `t = 2ⁿ ≤ 1`, and p the polynomial for `e^{±r} - 1`,
/// `sigmoid(x) = 1 / ((1 + t) + t p)` for x ≥ 0, `t / ((1 + t) + p)` for x < 0, where r changes its sign.
/// Nothing overflows, and in the lower tail t alone becomes subnormal. What `1 + t` rounds off, exactly
/// `t - ((1 + t) - 1)`, is put back beside p.
#[inline(always)]
pub(super) fn sigmoid<T: Format>(x: T) -> T {
    let (n, r) = reduce(at_least(-x.abs(), T::EXP_LOW));
    let t = T::ONE.scale(n);
    let (numerator, weight, r) = if x < T::ZERO { (t, T::ONE, -r) } else { (T::ONE, t, r) };
    let sum = T::ONE + t;
    let lost = t - (sum - T::ONE);
    numerator / (sum + (weight * reduced_exp_m1(r) + lost))
}

/// Below 5/8 the odd polynomial `x + x³ P(x²)`, above `1 - 2 / (e^{2x} + 1)`; at the seam the subtrahend is 0.45, so
/// the difference loses no digits.
#[inline(always)]
pub(super) fn tanh<T: Format>(x: T) -> T {
    let a = x.abs();
    let z = a * a;
    let near = a + a * z * polynomial(z, T::TANH);
    let held = at_most(a, T::ONE_FROM);
    let far = T::ONE - T::ONE / (half_exp(held + held) + T::HALF);
    (if a < T::TANH_SPLIT { near } else { far }).copysign(x)
}
