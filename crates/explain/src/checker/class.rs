//! The sheets of a class.

use super::kind::Kind;
use super::verdict::{Report, Verdict};

/// The graded sheets of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// One row for each file.
    pub rows: Vec<Row>,
}

/// The sheet of one student.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The student's name, or that of the file.
    pub who: String,
    /// The file.
    pub file: String,
    /// The graded answers, or what is wrong with the file.
    pub outcome: Result<Report, String>,
}

/// A mistake that was made in a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Common {
    /// The mistake; `None` for answers that no known mistake gives.
    pub kind: Option<Kind>,
    /// Who may have made it, by name, once each. A wrong answer that several mistakes give counts for each.
    pub students: Vec<String>,
    /// The number of answers.
    pub answers: usize,
}

impl Common {
    /// The name of the mistake.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind.map_or("not a mistake I know", Kind::name)
    }
}

impl Row {
    /// The kinds of mistakes of this sheet, each once, in the order of the answers.
    #[must_use]
    pub fn mistakes(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for line in self.outcome.iter().flat_map(|report| &report.lines) {
            for kind in kinds(&line.verdict) {
                let name = kind.map_or("not a mistake I know", Kind::name);
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }
}

/// The mistakes of a verdict: none unless the answer is wrong.
fn kinds(verdict: &Verdict) -> Vec<Option<Kind>> {
    match verdict {
        Verdict::Wrong(mistakes) if !mistakes.is_empty() => mistakes.iter().map(|mistake| Some(mistake.kind)).collect(),
        Verdict::Wrong(_) | Verdict::WrongTooShort => vec![None],
        _ => Vec::new(),
    }
}

impl Class {
    /// Whether every answer of every sheet passes.
    #[must_use]
    pub fn all_right(&self) -> bool {
        self.rows.iter().all(|row| row.outcome.as_ref().is_ok_and(Report::all_right))
    }

    /// Whether a file could not be read.
    #[must_use]
    pub fn has_bad_files(&self) -> bool {
        self.rows.iter().any(|row| row.outcome.is_err())
    }

    /// The mistakes, those of most students first.
    #[must_use]
    pub fn common_mistakes(&self) -> Vec<Common> {
        let mut all: Vec<Common> = Vec::new();
        for row in &self.rows {
            for line in row.outcome.iter().flat_map(|report| &report.lines) {
                for kind in kinds(&line.verdict) {
                    let at = all.iter().position(|common| common.kind == kind).unwrap_or_else(|| {
                        all.push(Common { kind, students: Vec::new(), answers: 0 });
                        all.len() - 1
                    });
                    all[at].answers += 1;
                    if !all[at].students.contains(&row.who) {
                        all[at].students.push(row.who.clone());
                    }
                }
            }
        }
        all.sort_by_key(|common| (std::cmp::Reverse((common.students.len(), common.answers)), common.kind));
        all
    }
}
