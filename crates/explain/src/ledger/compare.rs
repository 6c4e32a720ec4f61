//! The comparison of a derivative with a finite difference.

use super::{Difference, LedgerOptions};

/// What the comparison of the three columns says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All agree.
    Agree,
    /// The slopes to the left and to the right differ, and the derivative is between them: a kink, such as that of relu at
    /// 0 or a tie of a maximum.
    Kink,
    /// The differences are too inexact to tell: the function is noisy, or has kinks very near.
    Unresolved,
    /// The function is not finite beside the point, such as √x at 0: there are no differences. Or forward mode met ∞·0, the
    /// infinite slope of another element of the tensor.
    Edge,
    /// Reverse mode differs from the differences by more than their error.
    ReverseWrong,
    /// Reverse mode agrees with the differences, and forward mode does not.
    ForwardWrong,
}

impl Verdict {
    /// Whether a column is wrong.
    pub fn is_wrong(self) -> bool {
        matches!(self, Self::ReverseWrong | Self::ForwardWrong)
    }
}

/// How a derivative compares with a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Agrees,
    Kink,
    Unresolved,
    Edge,
    Wrong,
}

/// The number of estimated errors by which a difference may be off.
const CAUTION: f64 = 10.0;

pub(super) fn compare(derivative: f64, difference: &Difference, options: &LedgerOptions) -> Match {
    let Difference { value, error, jump, .. } = *difference;
    let gap = (derivative - value).abs();
    let allowed = options.tolerance * derivative.abs().max(value.abs()) + options.floor;
    // The error is infinite where the function has infinite or NaN values beside the point, or a difference of its values
    // overflows.
    if !error.is_finite() {
        Match::Edge
    } else if !derivative.is_finite() {
        Match::Wrong
    } else if gap <= allowed {
        Match::Agrees
    } else if gap <= allowed + jump / 2.0 + error && jump > 0.0 {
        Match::Kink
    } else if gap <= allowed + CAUTION * error {
        Match::Unresolved
    } else {
        Match::Wrong
    }
}

/// The verdict on both columns. Forward mode counts only where the differences can tell about reverse mode.
pub(super) fn verdict(reverse: f64, forward: f64, difference: &Difference, options: &LedgerOptions) -> Verdict {
    match compare(reverse, difference, options) {
        Match::Wrong => Verdict::ReverseWrong,
        Match::Kink => Verdict::Kink,
        Match::Unresolved => Verdict::Unresolved,
        Match::Edge => Verdict::Edge,
        Match::Agrees if forward.is_nan() => Verdict::Edge,
        Match::Agrees if compare(forward, difference, options) == Match::Wrong => Verdict::ForwardWrong,
        Match::Agrees => Verdict::Agree,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_excuses_only_as_much_as_it_is_uncertain() {
        let at = |derivative: f64, error: f64, jump: f64| {
            let difference = Difference { value: 2.0, error, step: 1e-4, jump };
            compare(derivative, &difference, &LedgerOptions::default())
        };
        assert_eq!(at(2.000_001, 1e-12, 0.0), Match::Agrees);
        assert_eq!(at(2.000_01, 1e-12, 0.0), Match::Wrong);
        assert_eq!(at(2.000_01, 2e-6, 0.0), Match::Unresolved);
        assert_eq!(at(2.02, 2e-6, 0.0), Match::Wrong, "also if the difference is inexact");
        assert_eq!(at(1.0, 1e-9, 2.0), Match::Kink, "the slope on one side");
        assert_eq!(at(3.0, 1e-9, 2.0), Match::Kink, "the slope on the other side");
        assert_eq!(at(3.02, 1e-9, 2.0), Match::Wrong, "outside of both");
        assert_eq!(at(2.0, f64::INFINITY, 0.0), Match::Edge);
        assert_eq!(at(f64::NAN, 1e-9, 2.0), Match::Wrong);
        assert_eq!(at(f64::INFINITY, 1e-9, 0.0), Match::Wrong);
        assert_eq!(at(f64::INFINITY, f64::INFINITY, 0.0), Match::Edge, "as of √x at 0");
    }

    #[test]
    fn the_verdict_is_on_both_columns() {
        let exact = Difference { value: 2.0, error: 1e-12, step: 1e-4, jump: 0.0 };
        let of = |reverse, forward| verdict(reverse, forward, &exact, &LedgerOptions::default());
        assert_eq!(of(2.0, 2.0), Verdict::Agree);
        assert_eq!(of(2.0, 2.1), Verdict::ForwardWrong);
        assert_eq!(of(2.0, f64::INFINITY), Verdict::ForwardWrong);
        assert_eq!(of(2.0, f64::NAN), Verdict::Edge, "∞·0 of another element");
        assert_eq!(of(f64::NAN, f64::NAN), Verdict::ReverseWrong);
        assert_eq!(of(2.1, 2.0), Verdict::ReverseWrong);
        assert_eq!(of(2.1, 2.1), Verdict::ReverseWrong, "also if forward mode uses the same rule");
    }
}
