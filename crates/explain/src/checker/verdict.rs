//! Verdicts on answers, and the report that they make.

use super::kind::Kind;

/// The graded answers of a sheet.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// One line for each answer, in the order of the file.
    pub lines: Vec<Line>,
}

/// A graded answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The name of the quantity.
    pub name: String,
    /// The answer as it was written.
    pub given: String,
    /// The exact value, or the formula if the answer is one.
    pub exact: String,
    /// The verdict.
    pub verdict: Verdict,
}

/// The verdict on an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It fits the exact chain.
    Right,
    /// It follows from the student's own earlier answers.
    Follows,
    /// It follows if the mistake of an earlier line, with this name, is made again in a value that was not stated.
    SameMistake(String),
    /// The digits are too few to tell, for this reason.
    CannotTell(String),
    /// It is wrong. All known mistakes that give this value are listed, the nearest first; none if none does.
    Wrong(Vec<Mistake>),
    /// It is wrong, and the digits are too few to say why.
    WrongTooShort,
    /// There is no answer.
    Blank,
}

/// A mistake that gives a student's value.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    /// Its kind.
    pub kind: Kind,
    /// What was computed.
    pub detail: String,
}

impl Verdict {
    /// Whether nothing is wrong with the answer.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Right | Self::Follows | Self::SameMistake(_))
    }

    /// Whether the answer is wrong.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong(_) | Self::WrongTooShort)
    }

    /// The verdict in a few words.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Right => "right".into(),
            Self::Follows => "follows from yours".into(),
            Self::SameMistake(name) => format!("follows from {name}"),
            Self::CannotTell(_) => "cannot tell".into(),
            Self::Wrong(_) | Self::WrongTooShort => "wrong".into(),
            Self::Blank => "no answer".into(),
        }
    }

    /// The remarks on it: the mistakes, or the reason.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        match self {
            Self::Wrong(mistakes) if mistakes.is_empty() => vec!["not a mistake I know".into()],
            Self::Wrong(mistakes) => mistakes
                .iter()
                .map(
                    |Mistake { kind, detail }| {
                        if detail.is_empty() { kind.name().to_owned() } else { format!("{}: {detail}", kind.name()) }
                    },
                )
                .collect(),
            Self::WrongTooShort => vec!["too few digits to name the mistake".into()],
            Self::CannotTell(reason) => vec![reason.clone()],
            _ => Vec::new(),
        }
    }
}

impl Report {
    /// Whether every answer passes.
    #[must_use]
    pub fn all_right(&self) -> bool {
        self.lines.iter().all(|line| line.verdict.passes())
    }

    /// The number of answers whose verdict fulfills a condition.
    #[must_use]
    pub fn count(&self, condition: impl Fn(&Verdict) -> bool) -> usize {
        self.lines.iter().filter(|line| condition(&line.verdict)).count()
    }
}
