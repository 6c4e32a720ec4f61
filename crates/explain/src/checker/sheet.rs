//! Sheets: the problem, its numbers, and a student's answers.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeBounds;
use std::str::FromStr;

use chainrule_tensor::ranges;

use super::answer::Answer;
use super::chain::Chain;
use super::expression::{Expr, Id};
use super::grade::{self, Entry};
use super::kinds::{BatchNorm, Convolution, Given, Loss, Net, Update};
use super::matrices::{self, Matrices};
use super::read;
use super::verdict::Report;

/// A sheet, read from its file.
#[derive(Clone, Debug)]
pub struct Sheet {
    pub(super) title: String,
    pub(super) student: Option<String>,
    pub(super) problem: Problem,
    pub(super) work: Work,
}

/// What is to be graded.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Chain(Box<Chain>, Vec<Entry>),
    Matrices(Matrices, Vec<matrices::Entry>),
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The net.
    pub kind: Kind,
    /// The loss.
    pub loss: Loss,
    /// The steps of the optimizer, if there are any.
    pub update: Option<Update>,
}

/// The kind of a sheet.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A fully connected net.
    Dense(Net),
    /// A convolution with pooling.
    Convolution(Convolution),
    /// Batch normalization.
    BatchNorm(BatchNorm),
    /// Shapes and matrix identities.
    Matrices(Matrices),
}

impl FromStr for Problem {
    type Err = SheetError;

    /// Reads a problem in the format of sheets; numbers and answers are ignored.
    fn from_str(text: &str) -> Result<Self, SheetError> {
        read::problem(text)
    }
}

impl Problem {
    pub(super) fn check(&self) -> Result<(), String> {
        match &self.kind {
            Kind::Dense(net) => net.check(self.loss)?,
            Kind::Convolution(net) => net.check()?,
            Kind::BatchNorm(norm) => norm.check()?,
            Kind::Matrices(_) if self.update.is_some() => {
                return Err("matrices: this kind of sheet has no [update]".into());
            }
            Kind::Matrices(matrices) => matrices.check()?,
        }
        if !matches!(self.kind, Kind::Dense(_)) && self.loss.function != super::LossFunction::SquaredError {
            return Err("loss: this kind of sheet has the loss \"squared-error\"".into());
        }
        match self.update {
            Some(update) if !(1..=5).contains(&update.steps) => {
                Err(format!("update: steps = {}: expected 1 to 5", update.steps))
            }
            Some(update) => update.constants().into_iter().try_for_each(|(name, value)| match name {
                "momentum" => expect(name, value, ranges::SHARE),
                "beta1" | "beta2" => expect(name, value, ranges::BELOW_ONE),
                _ => expect(name, value, ranges::NOT_NEGATIVE),
            }),
            None => Ok(()),
        }
    }

    /// The chain with these numbers; `None` for a sheet on matrices, which has none.
    pub(super) fn chain(&self, numbers: &mut dyn FnMut(&str, Given) -> f64) -> Option<Chain> {
        let (loss, update) = (self.loss, self.update.as_ref());
        match &self.kind {
            Kind::Dense(net) => Some(net.chain(loss, update, numbers)),
            Kind::Convolution(net) => Some(net.chain(loss, update, numbers)),
            Kind::BatchNorm(norm) => Some(norm.chain(loss, update, numbers)),
            Kind::Matrices(_) => None,
        }
    }
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SheetError {
    pub(super) line: Option<usize>,
    pub(super) message: String,
}

impl SheetError {
    /// The line of the file, from 1, if it is known.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for SheetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for SheetError {}

impl Sheet {
    /// Reads a sheet.
    ///
    /// # Errors
    /// If the text is no TOML, has unknown keys, names or kinds, lacks a number, or an answer cannot be read.
    pub fn parse(text: &str) -> Result<Self, SheetError> {
        read::sheet(text)
    }

    /// The title, possibly empty.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The student's name, if the file has one.
    #[must_use]
    pub fn student(&self) -> Option<&str> {
        self.student.as_deref().filter(|name| !name.is_empty())
    }

    /// What is asked.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Whether anything is filled in.
    #[must_use]
    pub fn has_answers(&self) -> bool {
        match &self.work {
            Work::Chain(_, answers) => answers.iter().any(|entry| entry.answer != Answer::Blank),
            Work::Matrices(_, answers) => answers.iter().any(|entry| !entry.is_blank()),
        }
    }

    /// Grades the answers in their order.
    #[must_use]
    pub fn grade(&self) -> Report {
        match &self.work {
            Work::Chain(chain, answers) => grade::grade(chain, answers),
            Work::Matrices(matrices, answers) => matrices.grade(answers),
        }
    }

    /// Every name that an answer or a formula can use, with what it means and with its other names.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        match &self.work {
            Work::Chain(chain, _) => names(chain),
            Work::Matrices(matrices, _) => matrices.names(),
        }
    }
}

/// A name of a sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub name: String,
    /// Other names of the same quantity.
    pub aliases: Vec<String>,
    /// What it is; the number if it is given.
    pub meaning: String,
}

pub(super) fn names(chain: &Chain) -> Vec<Name> {
    let mut all: BTreeMap<Id, Vec<String>> = BTreeMap::new();
    for (name, id) in chain.names(1) {
        all.entry(id).or_default().push(name.to_owned());
    }
    let name = |(id, names): (Id, Vec<String>)| {
        let quantity = &chain.quantities[id];
        let aliases = names.into_iter().filter(|name| *name != quantity.name).collect();
        let meaning = match &quantity.expr {
            Expr::Number(value) if chain.is_given(id) => format!("given: {value}"),
            _ => quantity.meaning.clone(),
        };
        Name { name: quantity.name.clone(), aliases, meaning }
    };
    all.into_iter().map(name).collect()
}

/// Checks a constant of the update.
fn expect(name: &str, value: f64, range: impl RangeBounds<f64>) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(format!("update: {name} = {value}: expected {}", ranges::rule(name, &range)))
}
