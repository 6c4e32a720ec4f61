//! Sine, cosine and tangent of an angle in radians.
//!
//! **Reduction.** With k the integer nearest to `x / (π/2)`, `x = k π/2 + r + low` and |r| ≤ π/4; the quarter k mod 4 says which
//! of ±sin r and ±cos r is the result. The nearest that a number of either format comes to a multiple of π/2 is 2⁻⁶⁰, so r
//! needs 120 digits after the point. Up to 2²⁰ four parts of π/2 give them (Cody and Waite), beyond it the product with as
//! many bits of 2/π as the exponent of x asks for (Payne and Hanek). Both are done in `f64` for `f32` too.
//!
//! **Polynomial.** fdlibm's arrangement (`k_sin.c` and `k_cos.c`, Sun Microsystems 1993): `sin r = r + r³ S(r²)` and `cos r = 1 - r²/2 + r⁴ C(r²)`,
//! each with the first-order term of low.

use super::coefficients::TWO_OVER_PI;
use super::format::{Format, polynomial};
use super::pair::Pair;

/// `sin x`; NaN for ±∞.
#[inline(always)]
pub(super) fn sin<T: Format>(x: T) -> T {
    let (quarter, r, low) = reduce(x);
    let (s, c) = sin_cos(r, low);
    let y = if quarter == T::ONE || quarter == T::THREE { c } else { s };
    let y = if quarter >= T::TWO { -y } else { y };
    // Also keeps -0.
    if x.abs() < T::TINY { x } else { y }
}

/// `cos x`; NaN for ±∞.
#[inline(always)]
pub(super) fn cos<T: Format>(x: T) -> T {
    let (quarter, r, low) = reduce(x);
    let (s, c) = sin_cos(r, low);
    let y = if quarter == T::ONE || quarter == T::THREE { s } else { c };
    if quarter == T::ONE || quarter == T::TWO { -y } else { y }
}

/// `tan x`; NaN for ±∞. No number of either format is a pole.
#[inline(always)]
pub(super) fn tan<T: Format>(x: T) -> T {
    let (quarter, r, low) = reduce(x);
    let (s, c) = sin_cos(r, low);
    let y = if quarter == T::ONE || quarter == T::THREE { -(c / s) } else { s / c };
    if x.abs() < T::TINY { x } else { y }
}

/// `(sin(r + low), cos(r + low))` for a reduced angle.
#[inline(always)]
fn sin_cos<T: Format>(r: T, low: T) -> (T, T) {
    let z = r * r;
    let half = T::HALF * z;
    let s = r + (r * z * polynomial(z, T::SINE) + low * (T::ONE - half));
    let rest = T::ONE - half;
    let c = rest + (((T::ONE - rest) - half) + (z * z * polynomial(z, T::COSINE) - r * low));
    (s, c)
}

/// Up to here [`near`] reduces.
const NEAR_END: f64 = 1_048_576.0; // 2²⁰

/// `(k mod 4, r, low)` with `x = k π/2 + r + low`, where low is below half an ulp of r; NaN for ±∞.
#[inline(always)]
fn reduce<T: Format>(x: T) -> (T, T, T) {
    let x = x.to_double();
    let (quarter, r, low) = if x.abs() <= NEAR_END { near(x) } else { far(x) };
    let high = T::from_double(r);
    (T::from_double(quarter), high, T::from_double((r - high.to_double()) + low))
}

/// The first three parts of π/2 have 26 digits, so that their products with k are exact; so are the first two differences.
#[inline(always)]
fn near(x: f64) -> (f64, f64, f64) {
    const PARTS: [f64; 4] =
        [1.570_796_310_901_641_8, 1.589_325_471_229_585_7e-8, 6.123_233_932_053_594e-17, 6.368_317_163_510_95e-25];
    let (k, _) = (x * std::f64::consts::FRAC_2_PI).nearest();
    let exact = (x - k * PARTS[0]) - k * PARTS[1];
    let third = k * PARTS[2];
    let sum = exact - third;
    // What the difference rounds off, exactly (Knuth).
    let taken = sum - exact;
    let lost = (exact - (sum - taken)) - (third + taken);
    let low = lost - k * PARTS[3];
    let r = sum + low;
    // k is 4j to 4j + 3; an eighth of a turn back, j is the nearest integer.
    let (j, _) = (0.25 * k - 0.375).nearest();
    (k - 4.0 * j, r, low - (r - sum))
}

/// `|x| · 2/π` modulo 4 in fixed point: bits of 2/π that stand for multiples of 4 are left out, and 190 bits after the point are
/// kept.
#[cold]
#[inline(never)]
fn far(x: f64) -> (f64, f64, f64) {
    if !x.is_finite() {
        return (0.0, f64::NAN, 0.0);
    }
    let bits = x.to_bits();
    let whole = u128::from(bits & 0xf_ffff_ffff_ffff | 1 << 52);
    // |x| = whole · 2^(biased - 1075), so the bit of 2/π of weight 2^(1076 - biased) counts as 2 times `whole`. The first bit after
    // the point is at place 64.
    let biased = (bits >> 52 & 0x7ff) as usize;
    let place = biased - 1013;
    let window = |word: usize| {
        let (word, shift) = (place / 64 + word, place % 64);
        (u128::from(TWO_OVER_PI[word]) << 64 | u128::from(TWO_OVER_PI[word + 1])) >> (64 - shift) & u128::from(u64::MAX)
    };
    let third = whole * window(2);
    let second = whole * window(1) + (third >> 64);
    let first = (whole * window(0)).wrapping_add(second >> 64);
    let fraction = first << 66 | (second & u128::from(u64::MAX)) << 2 | (third & u128::from(u64::MAX)) >> 62;

    // Beyond a half, the next multiple of π/2 is nearer, and the fraction is negative.
    let beyond = fraction >> 127;
    let quarter = (((first >> 62) + beyond) & 3) as u32;
    let size = (fraction as i128).unsigned_abs();
    let shift = size.leading_zeros();
    let size = size << shift;
    let unit = f64::from_bits(u64::from(1023 - 53 - shift) << 52);
    let (high, low) =
        ((size >> 75) as f64 * unit, (size >> 22 & ((1 << 53) - 1)) as f64 * unit / 9_007_199_254_740_992.0);
    let right_angle = Pair { high: std::f64::consts::FRAC_PI_2, low: 6.123_233_995_736_766e-17 };
    let r = Pair { high, low }.times(right_angle);
    let back = (beyond == 1) != x.is_sign_negative();
    let (r, low) = if back { (-r.high, -r.low) } else { (r.high, r.low) };
    let quarter = if x.is_sign_negative() { (4 - quarter) % 4 } else { quarter };
    (f64::from(quarter), r, low)
}
