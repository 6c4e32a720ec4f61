//! Numbers of twice the precision as unevaluated sums `high + low`, for the one place that needs them, the power.
//!
//! The two building blocks are exact: Dekker's sum and product (T. J. Dekker, "A floating-point technique for extending
//! the available precision", Numerische Mathematik 18, 1971), which use no fused multiply-add.

use super::format::{Format, polynomial};

/// `high + low` with |low| about an ulp of high at most.
#[derive(Clone, Copy)]
pub(super) struct Pair<T> {
    pub(super) high: T,
    pub(super) low: T,
}

impl<T: Format> Pair<T> {
    /// `a + b` exactly, for a = 0 or |a| ≥ |b|.
    #[inline(always)]
    fn sum(a: T, b: T) -> Self {
        let high = a + b;
        Self { high, low: b - (high - a) }
    }

    /// `a · b` exactly, while neither half of it overflows or underflows.
    #[inline(always)]
    fn product(a: T, b: T) -> Self {
        let (a_high, a_low) = halves(a);
        let (b_high, b_low) = halves(b);
        let high = a * b;
        let low = ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low;
        Self { high, low }
    }

    /// `self · other` to about twice the precision.
    #[inline(always)]
    pub(super) fn times(self, other: Self) -> Self {
        let exact = Self::product(self.high, other.high);
        Self { high: exact.high, low: exact.low + (self.high * other.low + self.low * other.high) }
    }

    /// `self · factor` to about twice the precision.
    #[inline(always)]
    pub(super) fn scaled(self, factor: T) -> Self {
        let exact = Self::product(self.high, factor);
        Self::sum(exact.high, exact.low + self.low * factor)
    }

    /// `k ln 2 + ln(1 + f)` to a dozen bits more than the format's, for what `logarithm::decompose` returns.
    ///
    /// `ln(1 + f) = 2s + 2/3 s³ + s⁵ P(s²)`, `s = f / (2 + f)`: the first two terms as pairs, the third, at most 2⁻¹²
    /// of the whole, as a plain number.
    #[inline(always)]
    pub(super) fn ln(k: T, f: T) -> Self {
        let d = Self::sum(T::TWO, f);
        let high = f / d.high;
        let back = Self::product(high, d.high);
        // What the rounded quotient leaves of f, again divided.
        let s = Self { high, low: (((f - back.high) - back.low) - high * d.low) / d.high };
        let square = s.times(s);
        let two_thirds = Self { high: T::TWO_THIRDS_HIGH, low: T::TWO_THIRDS_LOW };
        let cubic = s.times(square).times(two_thirds);
        let fifth = s.high * square.high * square.high * polynomial(square.high, T::LN_PAIR);
        let first = Self::sum(k * T::LN2_HIGH, s.high + s.high);
        let second = Self::sum(first.high, cubic.high);
        let low = k * T::LN2_LOW + (fifth + (cubic.low + (s.low + s.low) + first.low + second.low));
        Self::sum(second.high, low)
    }
}

/// A number as a sum of two of half its digits, so that products of such halves are exact (G. W. Veltkamp).
#[inline(always)]
fn halves<T: Format>(a: T) -> (T, T) {
    let shifted = a * T::SPLITTER;
    let high = shifted - (shifted - a);
    (high, a - high)
}
