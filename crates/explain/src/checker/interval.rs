//! Interval arithmetic: what a quantity can be if the numbers it is computed from are known to so many digits.

use std::ops::{Add, Div, Mul, Neg};

/// All numbers from `low` to `high`. A single number is an interval of width 0, and operations on such intervals give
/// the same results as operations on the numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Every number: the result where nothing is known.
    pub const EVERYTHING: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// A single number.
    #[must_use]
    pub fn point(x: f64) -> Self {
        Self { low: x, high: x }
    }

    /// The numbers at a distance of at most `radius` from `x`.
    #[must_use]
    pub fn around(x: f64, radius: f64) -> Self {
        Self { low: x - radius, high: x + radius }
    }

    /// The interval between two ends in either order. The ends are NaN after an operation such as 0 · ∞, which can
    /// give any number.
    pub(super) fn between(a: f64, b: f64) -> Self {
        if a.is_nan() || b.is_nan() { Self::EVERYTHING } else { Self { low: a.min(b), high: a.max(b) } }
    }

    /// Half of the width.
    #[must_use]
    pub fn radius(self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// The number in the middle, exact for a single number.
    #[must_use]
    pub fn middle(self) -> f64 {
        if self.low == self.high { self.low } else { f64::midpoint(self.low, self.high) }
    }

    /// The radius as a share of the smallest magnitude in the interval; infinite if that is 0 and the radius is not.
    #[must_use]
    pub fn relative_radius(self) -> f64 {
        let nearest = if self.low <= 0.0 && self.high >= 0.0 { 0.0 } else { self.low.abs().min(self.high.abs()) };
        if self.low == self.high { 0.0 } else { self.radius() / nearest }
    }

    /// Whether x is in the interval, up to rounding errors of `f64`.
    #[must_use]
    pub fn contains(self, x: f64) -> bool {
        self.meets(Self::point(x))
    }

    /// Whether the intervals have a number in common, up to rounding errors of `f64`.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        let ends = [self.low, self.high, other.low, other.high];
        let slack = 1e-12 * ends.into_iter().filter(|x| x.is_finite()).fold(0.0, |most: f64, x| most.max(x.abs()));
        self.low <= other.high + slack && other.low <= self.high + slack
    }

    /// The interval of f(x) for a function that rises or falls everywhere.
    pub(super) fn monotone(self, f: impl Fn(f64) -> f64) -> Self {
        Self::between(f(self.low), f(self.high))
    }

    /// The interval of f(x) for a function that rises up to `peak` and falls after it.
    pub(super) fn peaked(self, peak: f64, f: impl Fn(f64) -> f64) -> Self {
        let ends = self.monotone(&f);
        if self.low < peak && peak < self.high { Self { high: f(peak), ..ends } } else { ends }
    }

    /// x².
    pub(super) fn square(self) -> Self {
        let ends = self.monotone(|x| x * x);
        if self.low < 0.0 && self.high > 0.0 { Self { low: 0.0, ..ends } } else { ends }
    }

    /// The larger of two numbers.
    pub(super) fn max(self, other: Self) -> Self {
        Self { low: self.low.max(other.low), high: self.high.max(other.high) }
    }
}

impl Add for Interval {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::between(self.low + other.low, self.high + other.high)
    }
}

impl Neg for Interval {
    type Output = Self;

    fn neg(self) -> Self {
        Self { low: -self.high, high: -self.low }
    }
}

impl Mul for Interval {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let [a, b] = [self.low, self.high].map(|x| Self::between(x * other.low, x * other.high));
        Self { low: a.low.min(b.low), high: a.high.max(b.high) }
    }
}

impl Div for Interval {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        if other.low <= 0.0 && other.high >= 0.0 {
            return Self::EVERYTHING;
        }
        let [a, b] = [self.low, self.high].map(|x| Self::between(x / other.low, x / other.high));
        Self { low: a.low.min(b.low), high: a.high.max(b.high) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(low: f64, high: f64) -> Interval {
        Interval { low, high }
    }

    #[test]
    fn results_contain_every_pair() {
        let intervals = [of(-2.0, -1.0), of(-1.0, 3.0), of(0.0, 0.5), of(4.0, 4.0)];
        let inside = |i: Interval| (0..=10).map(move |k| i.low + (i.high - i.low) * f64::from(k) / 10.0);
        for a in intervals {
            for b in intervals {
                for x in inside(a) {
                    for y in inside(b) {
                        assert!((a + b).contains(x + y) && (a * b).contains(x * y) && (a.max(b)).contains(x.max(y)));
                        assert!(y == 0.0 || (a / b).contains(x / y), "{a:?} / {b:?}");
                    }
                    assert!((-a).contains(-x) && a.square().contains(x * x));
                    assert!(a.peaked(0.5, |x| x * (1.0 - x)).contains(x * (1.0 - x)));
                }
            }
        }
    }

    #[test]
    fn single_numbers_stay_single() {
        let (a, b) = (Interval::point(0.1), Interval::point(-0.3));
        assert_eq!((a + b, a * b, a / b), (of(0.1 - 0.3, 0.1 - 0.3), of(-0.03, -0.03), of(0.1 / -0.3, 0.1 / -0.3)));
        assert_eq!((b.square().low, b.square().high, a.middle()), (0.09, 0.09, 0.1));
        assert_eq!(a / Interval::point(0.0), Interval::EVERYTHING);
        assert_eq!(Interval::point(0.0) * Interval::EVERYTHING, Interval::EVERYTHING);
    }

    #[test]
    fn relative_radius_of_what_contains_zero_is_infinite() {
        assert_eq!(of(-1.0, 1.0).relative_radius(), f64::INFINITY);
        assert_eq!(of(2.0, 4.0).relative_radius(), 0.5);
        assert_eq!(Interval::point(0.0).relative_radius(), 0.0);
    }
}
