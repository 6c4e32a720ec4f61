//! Right sheets are accepted however their digits were dropped.

use chainrule_explain::checker::Verdict;

use crate::by_hand::{Slip, nets};
use crate::{Kept, answers, grade};

#[test]
fn rounded_truncated_and_full_values_are_accepted() {
    for net in nets() {
        for kept in [3, 4, 5, 8].into_iter().flat_map(|n| [Kept::Rounded(n), Kept::Truncated(n)]).chain([Kept::All]) {
            let report = grade(&(net.sheet() + &answers(&net.derivation(Slip::None), kept)));
            for line in &report.lines {
                assert_eq!(line.verdict, Verdict::Right, "{kept:?} {line:?}");
            }
        }
    }
}

/// A student who goes on with what is on paper: each product is computed from rounded factors.
#[test]
fn values_computed_from_rounded_ones_are_accepted() {
    for net in nets() {
        // Factors with few digits, their products with two more.
        for (kept, more) in [(3, 5), (5, 7)].into_iter().flat_map(|(few, more)| {
            [(Kept::Rounded(few), Kept::Rounded(more)), (Kept::Truncated(few), Kept::Truncated(more))]
        }) {
            let right = net.derivation(Slip::None);
            let mut written: Vec<(String, f64)> = Vec::new();
            let (mut lines, mut followed) = (String::new(), 0);
            for (name, value) in right {
                let get = |name: &str| written.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
                let (value, kept) = match name.as_str() {
                    "delta_o1" => (get("dE_do1").unwrap() * get("do1_dnet_o1").unwrap(), more),
                    "dE_dw5" => (get("delta_o1").unwrap() * get("h1").unwrap(), more),
                    "delta_h1" => (get("dE_dh1").unwrap() * get("dh1_dnet_h1").unwrap(), more),
                    "dE_dw2" => (get("delta_h1").unwrap() * net.i[1], more),
                    "w2_new" => (net.w[1] - net.lr * get("dE_dw2").unwrap(), more),
                    _ => (value, kept),
                };
                lines += &answers(&[(name.clone(), value)], kept);
                written.push((name, kept.text(value).parse().expect("a number")));
            }
            let report = grade(&(net.sheet() + &lines));
            for line in &report.lines {
                assert!(line.verdict.passes(), "{kept:?} {line:?}");
                followed += usize::from(line.verdict == Verdict::Follows);
            }
            assert!(followed > 0, "{kept:?}: every value is exact, so nothing was tested");
        }
    }
}

#[test]
fn too_few_digits_are_no_proof() {
    let [net, _] = nets();
    let text = |answers: &str| net.sheet() + answers;
    for (answers, reason) in [
        ("dE_dw1 = \"0.0\"", "so few digits"),
        // 0.7 is the weight before the update.
        ("w1_new = \"0.7\"", "so few digits"),
        (
            "dE_do1 = \"0.5\"\ndo1_dnet_o1 = \"0.2\"\ndE_dnet_o1 = \"0.104\"",
            "your earlier values do not determine this",
        ),
    ] {
        let report = grade(&text(answers));
        let Some(Verdict::CannotTell(why)) = report.lines.last().map(|line| &line.verdict) else {
            panic!("{report:?}");
        };
        assert!(why.contains(reason), "{why}");
    }
    let report = grade(&text("dE_do1 = \"-3\""));
    assert_eq!(report.lines[0].verdict, Verdict::WrongTooShort);
}
