//! The data of a page, as JSON.

use chainrule_autograd::formula::{Expression, Formula};
use chainrule_tensor::{Float, TensorOf};
use serde::Serialize;

use super::array::Array;
use super::elements::{Elements, Locals};
use super::layout::layout;
use crate::explanation::{Explanation, Numbers};
use crate::symbols::Rule;
use crate::text::escaped;

/// Everything that the page shows.
#[derive(Serialize)]
pub(super) struct Data<'a> {
    title: &'a str,
    text: &'a str,
    loss: &'a str,
    /// The rounding error of the engine's numbers.
    epsilon: f64,
    variables: Vec<Node<'a>>,
    steps: Vec<Operation<'a>>,
    /// For each edge `[from, to, input]` the points that it passes.
    bends: Vec<Vec<(f64, f64)>>,
    /// The elements that the page opens with: position of the variable, position of the element.
    chosen: Vec<(usize, usize)>,
    #[serde(flatten)]
    explained: Explained,
}

/// How elements are explained on the page.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Explained {
    /// All local derivatives of all operations, for each step and input.
    Locals(Vec<Vec<Option<Locals>>>),
    /// Chosen elements.
    Elements(Elements),
}

#[derive(Serialize)]
struct Node<'a> {
    name: &'a str,
    kind: crate::explanation::Kind,
    shape: &'a [usize],
    /// The elements, unless there are too many.
    value: Option<Array>,
    gradient: Option<Array>,
    value_numbers: Summary,
    gradient_numbers: Option<Summary>,
    step: Option<usize>,
    at: (f64, f64),
}

/// Statistics without the elements.
#[derive(Serialize)]
struct Summary {
    norm: f64,
    min: f64,
    max: f64,
    mean: f64,
    zeros: usize,
}

#[derive(Serialize)]
struct Operation<'a> {
    op: &'a str,
    layer: Option<&'a str>,
    scope: Option<&'a str>,
    attributes: &'a [String],
    saved: &'a str,
    output: usize,
    formula: Shown,
    derivative: String,
    at: Option<&'a [usize]>,
    inputs: Vec<Edge<'a>>,
    mark: Option<&'a str>,
}

#[derive(Serialize)]
struct Edge<'a> {
    variable: usize,
    symbol: &'a str,
    rule: Option<Shown>,
    gradient: Option<Array>,
}

/// A rule as MathML.
#[derive(Serialize)]
struct Shown {
    text: String,
    symbols: String,
    numbers: Option<String>,
    shapes: Option<String>,
}

impl Summary {
    fn of(numbers: &Numbers) -> Self {
        Self { norm: numbers.norm, min: numbers.min, max: numbers.max, mean: numbers.mean, zeros: numbers.zeros }
    }
}

impl Shown {
    fn of(rule: &Rule) -> Self {
        let symbols = Formula::parse(&rule.symbols).map_or_else(|_| escaped(&rule.symbols), |f| f.to_mathml());
        let numbers = rule.numbers.as_ref();
        let numbers = numbers.map(|text| Expression::parse(text).map_or_else(|_| escaped(text), |x| x.to_mathml()));
        Self { text: rule.symbols.clone(), symbols, numbers, shapes: rule.shapes.clone() }
    }
}

impl<'a> Data<'a> {
    pub fn new<T: Float>(
        explanation: &'a Explanation<T>,
        title: &'a str,
        text: &'a str,
        chosen: &[(usize, usize)],
        explained: Explained,
    ) -> Self {
        let edges = edges(explanation);
        let plan = layout(explanation.variables().len(), &edges);
        let graph = &explanation.graph;
        let node = |(i, variable): (usize, &'a crate::explanation::Variable)| Node {
            name: &variable.name,
            kind: variable.kind,
            shape: &variable.shape,
            value: carried(&graph.variables[i].value()),
            gradient: graph.gradients[i].as_ref().and_then(carried),
            value_numbers: Summary::of(&variable.value),
            gradient_numbers: variable.gradient.as_ref().map(Summary::of),
            step: variable.step,
            at: plan.nodes[i],
        };
        let operation = |(i, step): (usize, &'a crate::explanation::Step)| {
            let inputs = step.inputs.iter().enumerate().map(|(k, input)| {
                // Where a gradient is the only one that arrives, it is the variable's.
                let shared = explanation.variables()[input.variable].arrivals.len() > 1;
                let gradient = graph.walked[i].outgoing[k].as_ref().filter(|_| shared).and_then(carried);
                Edge {
                    variable: input.variable,
                    symbol: &input.symbol,
                    rule: input.rule.as_ref().map(Shown::of),
                    gradient,
                }
            });
            Operation {
                op: &step.op,
                layer: step.layer.as_deref(),
                scope: step.scope.as_deref(),
                attributes: &step.attributes,
                saved: &step.saved,
                output: step.output,
                formula: Shown::of(&step.formula),
                derivative: Formula::parse(&step.derivative)
                    .map_or_else(|_| escaped(&step.derivative), |f| f.to_mathml()),
                at: step.at.as_deref(),
                inputs: inputs.collect(),
                mark: step.mark.as_deref(),
            }
        };
        Self {
            title,
            text,
            loss: explanation.loss(),
            epsilon: T::EPSILON.to_f64(),
            variables: explanation.variables().iter().enumerate().map(node).collect(),
            steps: explanation.steps().iter().enumerate().map(operation).collect(),
            bends: plan.bends,
            chosen: chosen.to_vec(),
            explained,
        }
    }
}

/// Of larger tensors, a page has the statistics only: it must stay small enough to be opened.
const CARRIED: usize = 1 << 17;

fn carried<T: Float>(tensor: &TensorOf<T>) -> Option<Array> {
    (tensor.numel() <= CARRIED).then(|| Array::of(&tensor.to_vec()))
}

/// The edges of the graph, in the order of steps and their inputs.
fn edges<T: Float>(explanation: &Explanation<T>) -> Vec<(usize, usize)> {
    let of_step = |step: &crate::explanation::Step| {
        step.inputs.iter().map(|input| (input.variable, step.output)).collect::<Vec<_>>()
    };
    explanation.steps().iter().flat_map(of_step).collect()
}
