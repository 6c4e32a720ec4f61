//! Sine and cosine of an angle in turns.

use super::format::{Format, polynomial};

/// `(sin 2πu, cos 2πu)` for u in [0, 1).
///
/// An angle in turns needs no π to be reduced: with k the integer nearest to 4u, `r = u - k/4` is exact and |r| ≤ 1/8.
/// `sin 2πr = 2π r + r³ S(r²)`, with 2π in two parts since its own rounding would count, and `cos 2πr = 1 + r² C(r²)`.
/// An odd quarter k exchanges sine and cosine, the second and third quarters change the sine's sign, the first and
/// second the cosine's.
#[inline(always)]
pub(super) fn sin_cos_turns<T: Format>(u: T) -> (T, T) {
    let (k, _) = (u * T::FOUR).nearest();
    let r = u - k * T::QUARTER;
    let z = r * r;
    let s = r * T::TAU_HIGH + r * (T::TAU_LOW + z * polynomial(z, T::SIN_TURNS));
    let c = T::ONE + z * polynomial(z, T::COS_TURNS);
    let first = k == T::ONE;
    let second = k == T::TWO;
    let third = k == T::THREE;
    let (sin, cos) = if first || third { (c, s) } else { (s, c) };
    // Subtracted from 0 rather than negated, so that a zero stays +0.
    (if second || third { T::ZERO - sin } else { sin }, if first || second { T::ZERO - cos } else { cos })
}
