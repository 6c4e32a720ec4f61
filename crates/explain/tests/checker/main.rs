//! The checker of derivations, by its public interface. Wrong values are computed here by hand, not by the checker.

mod accepted;
mod by_hand;
mod exact;
mod examples;
mod format;
mod matrices;
mod other_kinds;
mod planted;
mod symbolic;
mod worksheets;

use chainrule_explain::checker::{Line, MistakeKind, Report, Sheet, Verdict};

#[track_caller]
fn grade(text: &str) -> Report {
    Sheet::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}")).grade()
}

/// The mistakes that a line names.
fn named(line: &Line) -> Vec<MistakeKind> {
    match &line.verdict {
        Verdict::Wrong(mistakes) => mistakes.iter().map(|mistake| mistake.kind).collect(),
        _ => Vec::new(),
    }
}

/// Checks that one line is wrong with this mistake and that all others pass. Weights that the update does not change within
/// the digits kept are not judged.
#[track_caller]
fn only_wrong(text: &str, name: &str, kind: MistakeKind) {
    let report = grade(text);
    for line in &report.lines {
        let planted = line.name == name;
        let too_short = line.name.ends_with("_new") && matches!(line.verdict, Verdict::CannotTell(_));
        assert!(line.verdict.passes() != planted || too_short, "{kind:?} in {name}: {line:?}\n{text}");
        assert_eq!(named(line).contains(&kind), planted, "{kind:?} in {name}: {line:?}\n{text}");
    }
    assert!(report.lines.iter().any(|line| line.name == name), "no line {name}");
}

/// How digits are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Rounded(usize),
    Truncated(usize),
    All,
}

impl Kept {
    /// The text that a student writes for a number.
    fn text(self, x: f64) -> String {
        match self {
            Self::Rounded(digits) => format!("{x:.*e}", digits - 1),
            Self::Truncated(digits) => {
                let long = format!("{x:.25e}");
                let (mantissa, exponent) = long.split_once('e').expect("an exponent");
                let len =
                    digits + mantissa.find(|c: char| c.is_ascii_digit()).expect("a digit") + usize::from(digits > 1);
                format!("{}e{exponent}", &mantissa[..len])
            }
            Self::All => format!("{x:e}"),
        }
    }
}

/// The answers as lines of TOML.
fn answers(values: &[(String, f64)], kept: Kept) -> String {
    values.iter().map(|(name, value)| format!("{name} = \"{}\"\n", kept.text(*value))).collect::<Vec<_>>().concat()
}
