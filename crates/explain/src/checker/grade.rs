//! Grading: each answer is compared with the exact chain, with what follows from the student's own earlier answers, and
//! with what every known mistake would give.

use std::collections::BTreeSet;

use super::answer::{Answer, shown, significant};
use super::chain::{Chain, Change, Precision, Rounding, Values};
use super::expression::{Expr, Id};
use super::interval::Interval;
use super::kind::Kind;
use super::mistakes::{Candidate, candidates};
use super::symbolic::{self, Samples};
use super::verdict::{Line, Mistake, Report, Verdict};

/// An answer to grade.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub id: Id,
    pub step: usize,
    /// The name as the student wrote it, with the step if there are several.
    pub name: String,
    pub text: String,
    pub answer: Answer,
}

/// A value that follows from intervals wider than this share of it says nothing.
const TOO_WIDE: f64 = 0.25;
/// A mistake is not named by such an interval unless it is narrow.
const NARROW: f64 = 0.02;
/// A value has enough digits to name a mistake if one unit of the last digit is at most this share of it.
const ENOUGH: f64 = 0.1;

pub(super) fn grade(chain: &Chain, answers: &[Entry]) -> Report {
    let mut grader = Grader {
        chain,
        exact: chain.exact(),
        known: vec![None; chain.quantities.len()],
        stated: BTreeSet::new(),
        slips: Vec::new(),
        samples: Samples::new(chain),
    };
    Report { lines: answers.iter().map(|entry| grader.line(entry)).collect() }
}

struct Grader<'a> {
    chain: &'a Chain,
    exact: Vec<f64>,
    /// The student's values so far.
    known: Vec<Option<Interval>>,
    /// The quantities answered so far.
    stated: BTreeSet<Id>,
    /// Mistakes in quantities that were not stated, with the lines that showed them.
    slips: Vec<(Change, String)>,
    samples: Samples<'a>,
}

/// An answer as a number.
#[derive(Clone, Copy)]
struct Number {
    value: f64,
    unit: f64,
}

impl Number {
    /// What it can stand for, rounded or truncated.
    fn range(self) -> Interval {
        Interval::around(self.value, self.unit)
    }
}

/// How well a number fits a chain.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Fit {
    No,
    /// Within what the digits of earlier answers allow; the relative radius of that.
    Loose(f64),
    /// It is the result for the earlier answers as they are written.
    Own,
    /// It is the result without any rounding.
    Exact,
}

impl Grader<'_> {
    fn line(&mut self, entry: &Entry) -> Line {
        let id = entry.id;
        let (verdict, exact) = match &entry.answer {
            Answer::Blank => (Verdict::Blank, shown(self.exact[id], 10)),
            Answer::Number { value, unit } => {
                let number = Number { value: *value, unit: *unit };
                let verdict = self.number(entry, number);
                self.remember(id, number);
                (verdict, shown(self.exact[id], 10))
            }
            Answer::Formula(formula) => {
                let verdict = self.samples.grade(entry.step, id, formula, &self.stated);
                self.samples.remember(entry.step, id, formula);
                let own = symbolic::value(self.chain, entry.step, formula, &self.known);
                self.known[id] = own.filter(|x| x.is_finite()).map(Interval::point);
                (verdict, self.chain.text(&self.chain.quantities[id].expr))
            }
        };
        if entry.answer != Answer::Blank {
            self.stated.insert(id);
        }
        Line { name: entry.name.clone(), given: entry.text.clone(), exact, verdict }
    }

    /// Takes a value into account from now on. A value that is what its formula gives to many digits is taken as exact:
    /// an h = 4 that is 4 has not been rounded.
    fn remember(&mut self, id: Id, number: Number) {
        let own = self.computed(id, &[], Precision::Middles).middle();
        let same = |x: f64| (x - number.value).abs() <= 1e-12 * x.abs();
        let is_exact = same(own) || same(self.exact[id]);
        self.known[id] = Some(if is_exact { Interval::point(number.value) } else { number.range() });
    }

    fn computed(&self, id: Id, change: &[(Id, Expr)], precision: Precision) -> Interval {
        Values::with(self.chain, &self.known, change, precision).computed(id)
    }

    /// How well a number fits the chain with a change.
    fn fit(&self, id: Id, number: Number, change: &[(Id, Expr)]) -> Fit {
        let nothing = vec![None; self.known.len()];
        let exact = Values::with(self.chain, &nothing, change, Precision::Middles).computed(id).middle();
        if number.range().contains(exact) {
            return Fit::Exact;
        }
        if number.range().contains(self.computed(id, change, Precision::Middles).middle()) {
            return Fit::Own;
        }
        let range = self.computed(id, change, Precision::Intervals);
        if number.range().meets(range) { Fit::Loose(range.relative_radius()) } else { Fit::No }
    }

    fn number(&mut self, entry: &Entry, number: Number) -> Verdict {
        let id = entry.id;
        let fit = self.fit(id, number, &[]);
        if fit != Fit::No && self.says_nothing(id, number) {
            return Verdict::CannotTell("so few digits would fit almost anything; keep more".into());
        }
        match fit {
            Fit::Exact => return Verdict::Right,
            Fit::Own => return Verdict::Follows,
            Fit::Loose(radius) if radius > TOO_WIDE => {
                return Verdict::CannotTell("your earlier values do not determine this closely enough".into());
            }
            Fit::Loose(_) | Fit::No => {}
        }
        if let Some((_, name)) = self.slips.iter().find(|(change, _)| self.fit(id, number, change) >= Fit::Own) {
            return Verdict::SameMistake(name.clone());
        }
        let long_enough = number.unit <= ENOUGH * number.value.abs();
        let found = if long_enough { self.mistakes(id, number) } else { Vec::new() };
        if fit != Fit::No {
            // The digits of earlier answers allow it. A mistake that gives this very value is as likely, unless it was
            // made before.
            let right_so_far = self.is_right_so_far(id);
            let sure = |fit: Fit| fit == Fit::Own || fit == Fit::Exact && right_so_far;
            let surely = found.iter().filter(|(fit, _)| sure(*fit));
            let surely: Vec<&str> = surely.map(|(_, found)| found.kind.name()).collect();
            return match surely.first() {
                None => Verdict::Follows,
                Some(_) => Verdict::CannotTell(format!("fits your digits, but so does: {}", surely.join(", "))),
            };
        }
        if !long_enough {
            return Verdict::WrongTooShort;
        }
        let mut mistakes: Vec<Mistake> = Vec::new();
        if found.iter().all(|(fit, _)| *fit < Fit::Own) {
            let rounded = self.rounded_too_early(id, number);
            mistakes.extend(rounded.map(|detail| Mistake { kind: Kind::RoundedTooEarly, detail }));
        }
        for (_, candidate) in found {
            let detail = candidate.detail(self.chain);
            if candidate.change.iter().any(|(at, _)| *at != id) {
                self.slips.push((candidate.change, entry.name.clone()));
            }
            if mistakes.iter().all(|known| known.kind != candidate.kind) {
                mistakes.push(Mistake { kind: candidate.kind, detail });
            }
        }
        Verdict::Wrong(mistakes)
    }

    /// Whether the answers that a quantity depends on fit the exact chain.
    fn is_right_so_far(&self, id: Id) -> bool {
        let fits = |at: &Id| self.known[*at].is_none_or(|range| range.contains(self.exact[*at]));
        self.chain.ancestors(id, &|_| false).iter().all(fits)
    }

    /// Whether the digits would also fit a gradient of 0 or a weight that was not updated.
    fn says_nothing(&self, id: Id, number: Number) -> bool {
        let before = self.chain.updated.iter().find(|(_, after)| *after == id).map(|(before, _)| *before);
        let trivial = match before {
            Some(before) => self.computed_or_known(before),
            None => 0.0,
        };
        let exact = self.exact[id];
        // Rounding and truncating change a number by less than one unit of the last digit kept.
        let so_written = (number.value - trivial).abs() < number.unit * (1.0 - 1e-9);
        so_written && exact != trivial && number.value != exact
    }

    fn computed_or_known(&self, id: Id) -> f64 {
        Values::with(self.chain, &self.known, &[], Precision::Middles).of(id).middle()
    }

    /// All mistakes that give a number: those that give it without doubt, or else those that the digits of earlier
    /// answers allow.
    fn mistakes(&self, id: Id, number: Number) -> Vec<(Fit, Candidate)> {
        let hidden = self.chain.ancestors(id, &|id| self.stated.contains(&id));
        let all = candidates(self.chain, &hidden);
        let mut found: Vec<(Fit, Candidate)> =
            all.into_iter().map(|candidate| (self.fit(id, number, &candidate.change), candidate)).collect();
        let surely = found.iter().any(|(fit, _)| *fit >= Fit::Own);
        found.retain(|(fit, _)| match fit {
            Fit::No => false,
            Fit::Loose(radius) => !surely && *radius <= NARROW,
            Fit::Own | Fit::Exact => true,
        });
        found
    }

    /// Whether the number is what comes out if every intermediate result is rounded to fewer digits than the number has.
    fn rounded_too_early(&self, id: Id, number: Number) -> Option<String> {
        let digits = significant(number.value, number.unit);
        let decimals = -number.unit.log10().round() as i32;
        let nothing = vec![None; self.known.len()];
        let fits = |rounding: Rounding| {
            [&self.known, &nothing].into_iter().any(|known| {
                let precision = Precision::Rounded(rounding);
                number.range().contains(Values::with(self.chain, known, &[], precision).computed(id).middle())
            })
        };
        let kept = (1..digits.min(5)).find(|&n| fits(Rounding::Digits(n))).map(|n| (n, "significant digit"));
        let kept = kept.or_else(|| (1..decimals.min(5)).find(|&n| fits(Rounding::Decimals(n))).map(|n| (n, "decimal")));
        kept.map(|(n, what)| format!("intermediate results with {n} {what}{}", if n == 1 { "" } else { "s" }))
    }
}
