//! The ranges of hyperparameters: numbers that users choose, such as a learning rate.

use std::ops::{Bound, Range, RangeBounds, RangeInclusive};

/// Any number except NaN and the infinities.
pub const FINITE: (Bound<f64>, Bound<f64>) = (Bound::Excluded(f64::NEG_INFINITY), Bound::Excluded(f64::INFINITY));
/// Finite and above 0.
pub const POSITIVE: (Bound<f64>, Bound<f64>) = (Bound::Excluded(0.0), Bound::Excluded(f64::INFINITY));
/// Finite and at least 0.
pub const NOT_NEGATIVE: Range<f64> = 0.0..f64::INFINITY;
/// At least 0 and less than 1, such as the probability of dropping an element.
pub const BELOW_ONE: Range<f64> = 0.0..1.0;
/// From 0 to 1, such as a share.
pub const SHARE: RangeInclusive<f64> = 0.0..=1.0;
/// A limit for clipping: at least 0; infinity does not clip.
pub const LIMIT: RangeInclusive<f64> = 0.0..=f64::INFINITY;

/// Checks a hyperparameter, `name`, of `owner`.
///
/// # Panics
/// With the text of [`checked`], if the value is outside the range.
#[track_caller]
pub fn check(owner: &str, name: &str, value: f64, range: impl RangeBounds<f64>) {
    if let Err(text) = checked(owner, name, value, range) {
        panic!("{text}");
    }
}

/// Checks a hyperparameter, `name`, of `owner`, that comes from a file.
///
/// # Errors
/// If the value is outside the range or NaN; the text names the hyperparameter, the value and the range.
pub fn checked(owner: &str, name: &str, value: f64, range: impl RangeBounds<f64>) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(format!("{owner}: {name} is {value}\n  rule: {}", rule(name, &range)))
}

/// The range as a formula, such as `0 ≤ lr < ∞`.
pub fn rule(name: &str, range: &impl RangeBounds<f64>) -> String {
    let number = |x: f64| x.to_string().replace("inf", "∞").replace('-', "−");
    let (low, high) = (range.start_bound(), range.end_bound());
    let low = match low {
        Bound::Included(&x) => format!("{} ≤ ", number(x)),
        Bound::Excluded(&x) => format!("{} < ", number(x)),
        Bound::Unbounded => String::new(),
    };
    let high = match high {
        Bound::Included(&x) => format!(" ≤ {}", number(x)),
        Bound::Excluded(&x) => format!(" < {}", number(x)),
        Bound::Unbounded => String::new(),
    };
    format!("{low}{name}{high}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_formulas() {
        assert_eq!(rule("slope", &FINITE), "−∞ < slope < ∞");
        assert_eq!(rule("eps", &POSITIVE), "0 < eps < ∞");
        assert_eq!(rule("beta1", &BELOW_ONE), "0 ≤ beta1 < 1");
        assert_eq!(rule("max_norm", &LIMIT), "0 ≤ max_norm ≤ ∞");
    }

    #[test]
    fn nan_is_outside_every_range_and_the_bounds_are_where_they_are() {
        assert!(!FINITE.contains(&f64::NAN) && !LIMIT.contains(&f64::NAN) && !SHARE.contains(&f64::NAN));
        assert!(LIMIT.contains(&f64::INFINITY) && !NOT_NEGATIVE.contains(&f64::INFINITY));
        assert!(!FINITE.contains(&f64::NEG_INFINITY) && FINITE.contains(&f64::MIN));
        assert!(!POSITIVE.contains(&0.0) && NOT_NEGATIVE.contains(&0.0) && !BELOW_ONE.contains(&1.0));
    }
}
