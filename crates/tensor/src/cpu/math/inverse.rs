//! The inverse tangent of a quotient, and the other inverse circular functions by it.

use super::format::{Format, polynomial};

/// The angle of the point (x, y), in [-π, π], with the special cases of IEEE 754's `atan2`.
///
/// With q = min(|x|, |y|)/max(|x|, |y|), atan q = atan t for t = q up to tan(π/8), beyond it π/4 + atan t for
/// t = (q - 1)/(q + 1). The octants then differ by a multiple of π/4 and a sign: the multiple of π/4, in two parts of which the
/// first is exact, is the large part.
#[inline(always)]
pub(super) fn atan2<T: Format>(y: T, x: T) -> T {
    let (a, b) = (x.abs(), y.abs());
    let steep = b > a;
    let (small, large) = if steep { (a, b) } else { (b, a) };
    // Both infinite: the diagonal. Halves of the largest numbers do not overflow when added.
    let diagonal = small == T::INFINITY;
    let (small, large) = if diagonal { (T::ONE, T::ONE) } else { (small, large) };
    let scale = if large > T::ONE { T::QUARTER } else { T::ONE };
    let (small, large) = (small * scale, large * scale);
    let above = small > large * T::TAN_EIGHTH;
    let top = if above { small - large } else { small };
    let bottom = if above { small + large } else { large };
    // 0/0 is 0 here.
    let t = if top == T::ZERO { T::ZERO } else { top / bottom };
    let z = t * t;
    let acute = t + t * z * polynomial(z, T::ATAN);

    // The angle is eighths · π/4 ± acute.
    let eighths = if above { T::ONE } else { T::ZERO };
    let (eighths, acute) = if steep { (T::TWO - eighths, -acute) } else { (eighths, acute) };
    let behind = T::ONE.copysign(x) < T::ZERO;
    let (eighths, acute) = if behind { (T::FOUR - eighths, -acute) } else { (eighths, acute) };
    let angle = eighths * T::EIGHTH_TURN_HIGH + (acute + eighths * T::EIGHTH_TURN_LOW);
    if x.is_nan() || y.is_nan() { T::NAN } else { angle.copysign(y) }
}

/// `atan x`, in [-π/2, π/2].
#[inline(always)]
pub(super) fn atan<T: Format>(x: T) -> T {
    atan2(x, T::ONE)
}

/// `√(1 - x²)`, with an exact factor where the other cancels.
#[inline(always)]
fn side<T: Format>(x: T) -> T {
    ((T::ONE - x) * (T::ONE + x)).sqrt()
}

/// `asin x`, in [-π/2, π/2]; NaN for |x| > 1.
#[inline(always)]
pub(super) fn asin<T: Format>(x: T) -> T {
    atan2(x, side(x))
}

/// `acos x`, in [0, π]; NaN for |x| > 1.
#[inline(always)]
pub(super) fn acos<T: Format>(x: T) -> T {
    atan2(side(x), x)
}
