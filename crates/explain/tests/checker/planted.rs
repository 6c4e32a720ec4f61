//! Wrong sheets: one slip is planted in a derivation written out by hand, and the checker names it.

use chainrule_explain::checker::MistakeKind as Kind;

use crate::by_hand::{Slip, nets};
use crate::{Kept, answers, grade, named, only_wrong};

/// The slips with the lines that they spoil and the mistakes that they are.
const PLANTED: [(Slip, &str, Kind); 19] = [
    (Slip::SlopeForgotten, "delta_o1", Kind::SlopeForgotten),
    (Slip::HiddenSlopeForgotten, "delta_h1", Kind::SlopeForgotten),
    (Slip::SlopeAtOutput, "do1_dnet_o1", Kind::SlopeAtOutput),
    (Slip::HiddenSlopeAtOutput, "dh1_dnet_h1", Kind::SlopeAtOutput),
    (Slip::PathDropped, "dE_dh1", Kind::PathDropped),
    (Slip::Sign, "dE_do1", Kind::Sign),
    (Slip::SignOfUpdate, "w1_new", Kind::Sign),
    (Slip::Twice, "dE_do1", Kind::Twice),
    (Slip::Half, "dE_do1", Kind::Half),
    (Slip::TransposedForward, "net_h1", Kind::Transposed),
    (Slip::TransposedGradient, "dE_dw2", Kind::Transposed),
    (Slip::UpdatedTooEarly, "dE_dh1", Kind::UpdatedTooEarly),
    (Slip::BiasForgotten, "net_h1", Kind::BiasForgotten),
    (Slip::PreActivation, "dE_dw5", Kind::PreActivation),
    (Slip::RateForgotten, "w1_new", Kind::RateForgotten),
    (Slip::ProductForSum, "net_h1", Kind::ProductForSum),
    (Slip::ProductInUpdate, "w1_new", Kind::ProductForSum),
    (Slip::SumForProduct, "delta_o1", Kind::SumForProduct),
    (Slip::InputForgotten, "dE_dw1", Kind::FactorForgotten),
];

/// 19 slips on two nets, kept to 3 and to 5 digits: 76 sheets, each with one wrong line whose mistake is named, and with
/// everything that follows from it accepted.
#[test]
fn every_planted_mistake_is_named_once() {
    for net in nets() {
        for (slip, name, kind) in PLANTED {
            for kept in [Kept::Rounded(3), Kept::Rounded(5)] {
                only_wrong(&(net.sheet() + &answers(&net.derivation(slip), kept)), name, kind);
            }
        }
    }
}

/// The same without any intermediate result: the mistake lies in something that the student did not state.
#[test]
fn mistakes_in_unstated_values_are_named() {
    let hidden =
        [Slip::SlopeForgotten, Slip::PathDropped, Slip::Sign, Slip::Twice, Slip::BiasForgotten, Slip::SlopeAtOutput];
    for net in nets() {
        for (slip, _, kind) in PLANTED.into_iter().filter(|(slip, ..)| hidden.contains(slip)) {
            let value = |name: &str| {
                let all = net.derivation(slip);
                all.into_iter().find(|(known, _)| known == name).expect("a value")
            };
            // The forward pass is stated if the slip is not in it.
            let line = if slip == Slip::PathDropped { "dE_dw1" } else { "dE_dw6" };
            let report = grade(&(net.sheet() + &answers(&[value(line)], Kept::Rounded(6))));
            assert!(named(&report.lines[0]).contains(&kind), "{slip:?} {report:?}");
        }
    }
}

/// A slip that is repeated in two lines through a value that was not stated counts once.
#[test]
fn the_same_hidden_mistake_counts_once() {
    for net in nets() {
        let all = net.derivation(Slip::Sign);
        let some: Vec<_> =
            all.into_iter().filter(|(name, _)| ["o1", "dE_dw5", "dE_dw6"].contains(&name.as_str())).collect();
        let report = grade(&(net.sheet() + &answers(&some, Kept::Rounded(5))));
        assert!(named(&report.lines[1]).contains(&Kind::Sign), "{report:?}");
        assert_eq!(report.lines[2].verdict.text(), "follows from dE_dw5", "{report:?}");
    }
}

/// A mean over the outputs where the loss is a sum.
#[test]
fn a_mean_for_a_sum_is_named() {
    for net in nets() {
        for digits in [3, 5] {
            let mut values = net.derivation(Slip::None);
            let place = values.iter().position(|(name, _)| name == "dE_do2").expect("a value");
            values[place].1 /= net.outputs() as f64;
            values.truncate(place + 1);
            only_wrong(&(net.sheet() + &answers(&values, Kept::Rounded(digits))), "dE_do2", Kind::MeanForSum);
        }
    }
}

/// dE_dw1 from a delta rounded to few digits that is not the one on the sheet.
#[test]
fn early_rounding_is_named() {
    for net in nets() {
        for (digits, kept) in [(1, 3), (2, 5), (3, 5)] {
            let mut values = net.derivation(Slip::None);
            let at = |name: &str| values.iter().position(|(known, _)| known == name).expect("a value");
            let (delta, dw) = (at("delta_h1"), at("dE_dw1"));
            values[dw].1 = Kept::Rounded(digits).text(values[delta].1).parse::<f64>().expect("a number") * net.i[0];
            values.truncate(dw + 1);
            only_wrong(&(net.sheet() + &answers(&values, Kept::Rounded(kept))), "dE_dw1", Kind::RoundedTooEarly);
        }
    }
}

/// Values that no known mistake gives: hardly any of them is given a name. With three digits a few of them are what some
/// mistake gives.
#[test]
fn the_checker_does_not_guess() {
    for (digits, most_percent) in [(5, 1), (3, 6)] {
        let (mut wrong, mut with_name) = (0, 0);
        for net in nets() {
            let right = net.derivation(Slip::None);
            for place in 0..right.len() {
                // These have nothing to do with the net.
                for factor in [0.48, 0.657, 0.83, 1.18, 1.353] {
                    let mut values = right.clone();
                    values[place].1 *= factor;
                    values.truncate(place + 1);
                    let report = grade(&(net.sheet() + &answers(&values, Kept::Rounded(digits))));
                    let line = report.lines.last().expect("a line");
                    assert!(line.verdict.is_wrong(), "{line:?}");
                    wrong += 1;
                    with_name += usize::from(!named(line).is_empty());
                }
            }
        }
        assert!(
            wrong > 400 && with_name * 100 < most_percent * wrong,
            "{digits} digits: {with_name} of {wrong} got a name"
        );
    }
}

/// A planted mistake is named alone, except where two mistakes give the same value.
#[test]
fn no_other_mistake_is_named() {
    for net in nets() {
        for (slip, name, kind) in PLANTED {
            let report = grade(&(net.sheet() + &answers(&net.derivation(slip), Kept::Rounded(5))));
            let line = report.lines.iter().find(|line| line.name == name).expect("a line");
            // With two outputs the mean is half of the sum.
            let same = match kind {
                Kind::Twice => Some(Kind::SumForMean),
                Kind::Half => Some(Kind::MeanForSum),
                _ => None,
            };
            let expected: Vec<Kind> = [kind].into_iter().chain(same.filter(|_| net.outputs() == 2)).collect();
            assert_eq!(named(line), expected, "{slip:?}");
        }
    }
}
