//! Finding the operation whose rule is wrong.
//!
//! Reverse mode: the results of the operations between the loss and the parameter are nudged, one after the other, starting
//! at the loss, which gives the derivative of the loss along the nudge by differences. The first result at which the
//! backward walk has another number is an input of the guilty rule: all results nearer to the loss are right. It is nudged
//! along its own rate of change when the parameter moves, so that the nudge breaks no tie that the move would not break.

use std::collections::{BTreeMap, BTreeSet};

use chainrule_autograd::{Var64, no_grad};
use chainrule_tensor::{Binary, Tensor64, Unary};

use super::compare::{Match, Verdict, compare};
use super::difference::difference;
use super::element::Element;
use super::trace::{Function, Nudge, Run, Step, dot, rates, run, steps};
use super::{LedgerOptions, Row};

/// The operation whose rule is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Guilty {
    /// The name of the op.
    pub rule: String,
    /// The formula of its derivative.
    pub derivative: String,
    /// The number of the operation among all that were recorded, from 0.
    pub operation: usize,
    /// The names of its inputs.
    pub inputs: Vec<String>,
    /// Which rule of the op is wrong.
    pub column: Column,
    /// The input whose gradient is wrong; for [`Column::Forward`], that of the operation's own result.
    pub at: String,
    /// The derivative along the nudge by the rule.
    pub by_rule: f64,
    /// The same by differences.
    pub by_differences: f64,
}

/// A method that uses rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Reverse mode, and so the rule's `backward`.
    Reverse,
    /// Forward mode, and so the rule's `tangent`.
    Forward,
}

/// The guilty operation for a row with a wrong column; `None` if all that can be compared agrees.
pub(super) fn locate(f: Function, element: &Element, row: &Row, options: &LedgerOptions) -> Option<Guilty> {
    let base = run(f, None);
    let steps = steps(&base.loss);
    let ids: Vec<u64> = base.results.iter().map(Var64::id).collect();
    let path = path(&ids, &steps, element.parameter.id());
    let tangents = if row.verdict == Verdict::ForwardWrong { tangents(&base, &path, element) } else { Vec::new() };
    drop(base);
    let h = row.difference.step;
    let moved = rates(|t| element.moved(t, || run(f, None)), h);
    let search = Search { f, element, options, steps, ids, path, moved, h };
    match row.verdict {
        Verdict::ForwardWrong => search.wrong_tangent(&tangents),
        _ => search.wrong_backward(row),
    }
}

/// The operations between a parameter and the loss, in the order of recording.
fn path(ids: &[u64], steps: &BTreeMap<u64, Step>, parameter: u64) -> Vec<usize> {
    let mut leading = BTreeSet::from([parameter]);
    let mut path = Vec::new();
    for (k, id) in ids.iter().enumerate() {
        if steps.get(id).is_some_and(|step| step.parents.iter().any(|(parent, _)| leading.contains(parent))) {
            leading.insert(*id);
            path.push(k);
        }
    }
    path
}

/// The tangents of the results on the path when the element moves.
fn tangents(base: &Run, path: &[usize], element: &Element) -> Vec<Tensor64> {
    let seed = Var64::constant(one_hot(element));
    no_grad(|| {
        path.iter().map(|&k| base.results[k].tangent(&[(element.parameter, &seed)]).value.value().clone()).collect()
    })
}

fn one_hot(element: &Element) -> Tensor64 {
    Tensor64::from_fn(element.parameter.shape(), |i| if i == element.place { 1.0 } else { 0.0 })
}

struct Search<'a> {
    f: Function<'a>,
    element: &'a Element<'a>,
    options: &'a LedgerOptions,
    /// The backward walk, by id of the output.
    steps: BTreeMap<u64, Step>,
    /// The ids of the results.
    ids: Vec<u64>,
    /// The operations between the parameter and the loss.
    path: Vec<usize>,
    /// How fast each result changes when the element moves.
    moved: Vec<Tensor64>,
    h: f64,
}

impl Search<'_> {
    fn step(&self, k: usize) -> &Step {
        &self.steps[&self.ids[k]]
    }

    fn guilty(&self, k: usize, column: Column, at: String, by_rule: f64, by_differences: f64) -> Guilty {
        let step = self.step(k);
        Guilty {
            rule: step.rule.clone(),
            derivative: step.derivative.clone(),
            operation: k,
            inputs: step.parents.iter().map(|(_, name)| name.clone()).collect(),
            column,
            at,
            by_rule,
            by_differences,
        }
    }

    fn wrong_backward(&self, row: &Row) -> Option<Guilty> {
        // The last on the path is the loss, whose gradient is 1.
        for &k in self.path.iter().rev().skip(1) {
            let along = &self.moved[k];
            let by_rule = dot(&self.step(k).dy, along);
            let nudged = |t: f64| run(self.f, Some(&Nudge { k, by: &along.unary(Unary::Mul(t)) }));
            let found = difference(|t| nudged(t).loss.item(), self.element.scale(), 0.01 * self.options.tolerance);
            if compare(by_rule, &found, self.options) == Match::Wrong {
                let rates = rates(nudged, self.h);
                let user = self.guilty_user(self.ids[k], along, &rates)?;
                let at = self.step(k).rule.clone();
                return Some(self.guilty(user, Column::Reverse, at, by_rule, found.value));
            }
        }
        let user = self.guilty_user(self.element.parameter.id(), &one_hot(self.element), &self.moved)?;
        Some(self.guilty(user, Column::Reverse, row.parameter.clone(), row.reverse, row.difference.value))
    }

    /// The operation whose rule is wrong, among those that use a variable whose gradient is wrong. Of several it is the one
    /// for which the rate of change of the output and those of the inputs fit least: for a right rule
    /// `⟨dy, rate of y⟩ = Σ ⟨dx, rate of x⟩`.
    fn guilty_user(&self, variable: u64, along: &Tensor64, rates: &[Tensor64]) -> Option<usize> {
        let uses = |&&k: &&usize| self.step(k).parents.iter().any(|(parent, _)| *parent == variable);
        let rate = |id: u64| {
            if id == variable {
                return Some(along);
            }
            self.ids.iter().position(|other| *other == id).map(|k| &rates[k])
        };
        let misfit = |k: usize| {
            let step = self.step(k);
            let out = dot(&step.dy, &rates[k]);
            let parts = step.parents.iter().zip(&step.gradients);
            let products = parts.filter_map(|((id, _), gradient)| Some(dot(gradient.as_ref()?, rate(*id)?)));
            let (sum, size) = products.fold((0.0, out.abs()), |(sum, size), p| (sum + p, size + p.abs()));
            if size == 0.0 { 0.0 } else { (out - sum).abs() / size }
        };
        let users = self.path.iter().filter(uses).copied();
        users.max_by(|&a, &b| misfit(a).total_cmp(&misfit(b)))
    }

    fn wrong_tangent(&self, tangents: &[Tensor64]) -> Option<Guilty> {
        let norm = |x: &Tensor64| dot(x, x).sqrt();
        // The rates are central differences with one step, which is exact enough to tell a wrong tangent.
        let wrong = |&(&k, tangent): &(&usize, &Tensor64)| {
            let gap = norm(&tangent.binary(Binary::Sub, &self.moved[k]));
            gap > 1e-4 * norm(tangent).max(norm(&self.moved[k]))
        };
        let (&k, tangent) = self.path.iter().zip(tangents).find(wrong)?;
        let at = self.step(k).rule.clone();
        Some(self.guilty(k, Column::Forward, at, norm(tangent), norm(&self.moved[k])))
    }
}
