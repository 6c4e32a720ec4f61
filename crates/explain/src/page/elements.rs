//! What a page carries so that elements can be explained in it: all local derivatives of a small graph, or chosen elements
//! of a large one.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};

use chainrule_tensor::Float;
use serde::Serialize;

use super::array::Array;
use crate::column::{column, sources};
use crate::element::{Element, Term};
use crate::explanation::Explanation;
use crate::number::ravel;

/// The local derivatives ∂yⱼ/∂xᵢ of one input that are not 0, column by column.
#[derive(Serialize)]
pub(super) struct Locals {
    i: Array,
    j: Array,
    d: Array,
    /// The input whose elements the local derivatives are, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<usize>,
    /// 1 + the position of the element that the local derivative is, or 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Array>,
}

/// A graph with more elements, or more local derivatives, is large.
const COLUMNS: usize = 1500;
const DERIVATIVES: usize = 60_000;

/// All local derivatives of a graph, for each step and input; `None` if the graph is large.
pub(super) fn all_locals<T: Float>(explanation: &Explanation<T>) -> Option<Vec<Vec<Option<Locals>>>> {
    let graph = &explanation.graph;
    let numel = |variable: usize| graph.variables[variable].shape().numel();
    let columns: usize = graph.uses.iter().enumerate().map(|(i, uses)| uses.len() * numel(i)).sum();
    if columns > COLUMNS {
        return None;
    }
    let mut total = 0;
    let mut all = Vec::new();
    for (step, walked) in graph.walked.iter().enumerate() {
        let mut of_step = Vec::new();
        for (input, outgoing) in walked.outgoing.iter().enumerate() {
            of_step.push(outgoing.as_ref().map(|_| locals(explanation, step, input, &mut total)));
            if total > DERIVATIVES {
                return None;
            }
        }
        all.push(of_step);
    }
    Some(all)
}

/// The local derivatives of one input, whose number is added to `total`.
fn locals<T: Float>(explanation: &Explanation<T>, step: usize, input: usize, total: &mut usize) -> Locals {
    let op = explanation.graph.operation(step);
    let (mut i, mut j, mut d) = (Vec::new(), Vec::new(), Vec::new());
    let (mut other, mut source) = (None, Vec::new());
    for element in 0..op.parent(input).shape().numel() {
        let found = column(&op, input, element);
        let factors = sources(&op, input, element, &found);
        for (k, local) in found.into_iter().enumerate().filter(|(_, local)| *local != T::ZERO) {
            i.push(element);
            j.push(k);
            d.push(local);
            other = other.or(factors[k].map(|(of, _)| of));
            source.push(factors[k].filter(|&(of, _)| Some(of) == other).map_or(0, |(_, at)| at + 1));
        }
    }
    *total += d.len();
    Locals {
        i: Array::indices(&i),
        j: Array::indices(&j),
        d: Array::of(&d),
        source: other.map(|_| Array::indices(&source)),
        other,
    }
}

/// Explained elements by `variable:element`.
pub(super) type Elements = BTreeMap<String, ExplainedElement>;

/// `[step, input, output element, dy, local derivative, [variable, element] that it is]`.
type ListedTerm = (usize, usize, usize, f64, f64, Option<(usize, usize)>);

/// An explained element.
#[derive(Serialize)]
pub(super) struct ExplainedElement {
    value: f64,
    gradient: f64,
    /// The largest products first.
    terms: Vec<ListedTerm>,
    rest: crate::element::Rest,
    blocked: Vec<(usize, usize)>,
    /// For chosen elements and those that convolutions read: all output elements that the element reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    reach: Option<Reach>,
}

/// The output elements that an element reaches, with their local derivatives.
#[derive(Serialize)]
struct Reach {
    step: Array,
    j: Array,
    d: Array,
}

/// The number of terms that are listed of each element. All those of a chosen element are explained in turn, fewer further up.
const LISTED: usize = 12;
const FOLLOWED: usize = 4;
/// The number of elements that are explained for each chosen one, and for all of them together: each costs about three passes
/// through the operations that use it.
const EACH: usize = 80;
const ALL: usize = 800;
/// Larger reaches are left out.
const REACH: usize = 4000;

/// Explains chosen elements and, breadth first, those that their terms lead to; first of all the largest terms up to the loss.
pub(super) fn chosen<T: Float>(explanation: &Explanation<T>, chosen: &[(usize, usize)]) -> Elements {
    let mut elements = Elements::new();
    let each = EACH.min(ALL / chosen.len().max(1));
    for &(variable, flat) in chosen {
        let mut queue = VecDeque::from([(variable, flat)]);
        let mut count = 0;
        let mut at = Some((variable, flat));
        let mut followed = LISTED;
        while let Some(largest) = at {
            at = add(explanation, &mut elements, largest, followed, &mut queue);
            followed = FOLLOWED;
        }
        while let Some(next) = queue.pop_front().filter(|_| count < each) {
            count += usize::from(!elements.contains_key(&key(next)));
            add(explanation, &mut elements, next, FOLLOWED, &mut queue);
        }
    }
    elements
}

pub(super) fn key((variable, flat): (usize, usize)) -> String {
    format!("{variable}:{flat}")
}

/// Explains an element, unless it is explained, and queues the elements of its largest terms. Returns the first of them.
fn add<T: Float>(
    explanation: &Explanation<T>,
    elements: &mut Elements,
    (variable, flat): (usize, usize),
    followed: usize,
    queue: &mut VecDeque<(usize, usize)>,
) -> Option<(usize, usize)> {
    if variable + 1 == explanation.variables().len() {
        // The loss, whose gradient is 1, has no terms.
        return None;
    }
    let mut element = explanation.terms(variable, flat);
    let next: Vec<(usize, usize)> = element
        .terms
        .iter()
        .take(followed)
        .map(|term| (output(explanation, term.step), position(explanation, term)))
        .collect();
    if let Entry::Vacant(slot) = elements.entry(key((variable, flat))) {
        let reach = reach(explanation, &element);
        element.keep(LISTED);
        explanation.name_factors(&mut element, flat);
        let factor = |term: &Term| {
            let factor = term.factor.as_ref()?;
            Some((factor.variable, ravel(&factor.index, &explanation.variables()[factor.variable].shape)?))
        };
        let listed = element.terms.iter();
        let terms =
            listed.map(|term| (term.step, term.input, position(explanation, term), term.dy, term.local, factor(term)));
        slot.insert(ExplainedElement {
            value: element.value,
            gradient: element.gradient,
            terms: terms.collect(),
            rest: element.rest,
            blocked: element.blocked.iter().map(|blocked| (blocked.step, blocked.input)).collect(),
            reach,
        });
        queue.extend(&next);
    }
    next.first().copied()
}

fn output<T: Float>(explanation: &Explanation<T>, step: usize) -> usize {
    explanation.steps()[step].output
}

fn position<T: Float>(explanation: &Explanation<T>, term: &Term) -> usize {
    let shape = &explanation.variables()[output(explanation, term.step)].shape;
    ravel(&term.output, shape).expect("it is an index of the output")
}

fn reach<T: Float>(explanation: &Explanation<T>, element: &Element) -> Option<Reach> {
    if element.terms.len() > REACH || element.terms.len() <= LISTED + 1 {
        return None;
    }
    let all = |f: &dyn Fn(&Term) -> usize| Array::indices(&element.terms.iter().map(f).collect::<Vec<_>>());
    let d: Vec<T> = element.terms.iter().map(|term| T::from_f64(term.local)).collect();
    Some(Reach { step: all(&|term| term.step), j: all(&|term| position(explanation, term)), d: Array::of(&d) })
}
