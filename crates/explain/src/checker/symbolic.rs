//! Formulas as answers: compared with the chain at random points near the numbers of the sheet.

use std::collections::{BTreeMap, BTreeSet};

use chainrule_autograd::formula::Expression;
use chainrule_tensor::Rng;

use super::answer::Symbolic;
use super::chain::{Chain, Precision, Values};
use super::expression::{Expr, Id};
use super::interval::Interval;
use super::mistakes::candidates;
use super::verdict::{Mistake, Verdict};

/// The number of points; a formula that agrees at all of them agrees everywhere, as far as anyone can tell.
const POINTS: usize = 12;

/// The formulas of earlier answers, and the points at which they are compared.
pub(super) struct Samples<'a> {
    chain: &'a Chain,
    earlier: Vec<(usize, Id, Symbolic)>,
}

/// A point: the numbers of the sheet moved a little.
struct Point {
    /// The given numbers alone.
    exact: Vec<Option<Interval>>,
    /// The same and the values of earlier formulas.
    own: Vec<Option<Interval>>,
}

impl<'a> Samples<'a> {
    pub(super) fn new(chain: &'a Chain) -> Self {
        Self { chain, earlier: Vec::new() }
    }

    pub(super) fn remember(&mut self, step: usize, id: Id, formula: &Symbolic) {
        self.earlier.push((step, id, formula.clone()));
    }

    /// Grades a formula for a quantity.
    pub(super) fn grade(&self, step: usize, id: Id, formula: &Symbolic, stated: &BTreeSet<Id>) -> Verdict {
        // A student may write a number of the sheet in place of its name: the formula is then compared with that number
        // fixed.
        let free = self.points(&BTreeSet::new());
        let fixed = self.literals(&formula.expression);
        let bound = if fixed.is_empty() { Vec::new() } else { self.points(&fixed) };
        let points = [free, bound];
        let points = || points.iter().filter(|points| !points.is_empty());

        if points().any(|points| self.agrees(step, id, formula, points, &[], |point| &point.exact)) {
            return Verdict::Right;
        }
        if points().any(|points| self.agrees(step, id, formula, points, &[], |point| &point.own)) {
            return Verdict::Follows;
        }
        let everything = self.chain.ancestors(id, &|_| false);
        let own = self.chain.ancestors(id, &|id| stated.contains(&id));
        let mut mistakes: Vec<Mistake> = Vec::new();
        for (hidden, known) in [(everything, Known::Exact), (own, Known::Own)] {
            for candidate in candidates(self.chain, &hidden) {
                let fits = |points: &Vec<Point>| match known {
                    Known::Exact => self.agrees(step, id, formula, points, &candidate.change, |point| &point.exact),
                    Known::Own => self.agrees(step, id, formula, points, &candidate.change, |point| &point.own),
                };
                if mistakes.iter().all(|found| found.kind != candidate.kind) && points().any(fits) {
                    mistakes.push(Mistake { kind: candidate.kind, detail: candidate.detail(self.chain) });
                }
            }
        }
        Verdict::Wrong(mistakes)
    }

    /// The given quantities whose numbers stand in an expression.
    fn literals(&self, expression: &Expression) -> BTreeSet<Id> {
        let mut numbers = Vec::new();
        fn collect(x: &Expression, numbers: &mut Vec<f64>) {
            if let Expression::Number(text) = x {
                numbers.extend(text.parse::<f64>().ok());
            }
            x.for_each_part(&mut |part| collect(part, numbers));
        }
        collect(expression, &mut numbers);
        let given = |id: &Id| match self.chain.quantities[*id].expr {
            Expr::Number(value) => self.chain.is_given(*id) && numbers.contains(&value.abs()),
            _ => false,
        };
        (0..self.chain.quantities.len()).filter(given).collect()
    }

    /// Points where the given numbers are moved by up to a tenth, except those that are fixed.
    fn points(&self, fixed: &BTreeSet<Id>) -> Vec<Point> {
        let mut rng = Rng::seed(1);
        let mut point = || {
            let mut exact = vec![None; self.chain.quantities.len()];
            for (id, quantity) in self.chain.quantities.iter().enumerate() {
                if let Expr::Number(value) = quantity.expr
                    && self.chain.is_given(id)
                {
                    let scale = if value == 0.0 { 1.0 } else { value.abs() };
                    let moved = value + 0.1 * scale * (2.0 * rng.uniform() - 1.0);
                    exact[id] = Some(Interval::point(if fixed.contains(&id) { value } else { moved }));
                }
            }
            let mut own = exact.clone();
            for (step, id, formula) in &self.earlier {
                own[*id] = value(self.chain, *step, formula, &own).map(Interval::point);
            }
            Point { exact, own }
        };
        (0..POINTS).map(|_| point()).collect()
    }

    /// Whether a formula has the value of the chain with a change at all points.
    fn agrees(
        &self,
        step: usize,
        id: Id,
        formula: &Symbolic,
        points: &[Point],
        change: &[(Id, Expr)],
        known: impl Fn(&Point) -> &Vec<Option<Interval>>,
    ) -> bool {
        points.iter().all(|point| {
            let known = known(point);
            let Some(value) = value(self.chain, step, formula, known) else { return false };
            let expected = Values::with(self.chain, known, change, Precision::Middles).computed(id).middle();
            (value - expected).abs() <= 1e-9 * value.abs().max(expected.abs()) + 1e-14
        })
    }
}

/// The value of a formula where some quantities are known.
pub(super) fn value(chain: &Chain, step: usize, formula: &Symbolic, known: &[Option<Interval>]) -> Option<f64> {
    let mut values = Values::with(chain, known, &[], Precision::Middles);
    let mut numbers = BTreeMap::new();
    for symbol in &formula.symbols {
        numbers.insert(symbol.as_str(), values.of(chain.id(step, symbol)?).middle());
    }
    formula.expression.evaluate(&|name| numbers.get(name).copied()).ok()
}

/// Which values are known when a mistake is tried.
#[derive(Clone, Copy)]
enum Known {
    Exact,
    Own,
}
