//! An explanation: the forward pass and the steps of the backward walk as data.

use std::collections::BTreeMap;

use chainrule_autograd::{Scope, VarOf};
use chainrule_tensor::{Float, Scalar, TensorOf};
use serde::Serialize;

use crate::graph::Graph;
use crate::marks::mark;
use crate::number::accurate_sum;
use crate::symbols::{Rule, Symbols};

/// Every number of a backward pass, with the rule that gave it. Made by [`explain`].
///
/// It serializes to the data: [`variables`](Self::variables) and [`steps`](Self::steps).
#[derive(Serialize)]
pub struct Explanation<T: Float> {
    #[serde(skip)]
    pub(crate) graph: Graph<T>,
    /// The symbol of the loss in `∂L/∂w`.
    loss: String,
    variables: Vec<Variable>,
    steps: Vec<Step>,
}

/// A variable of the graph.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Variable {
    /// The name; of several variables with the same name, each with a number: `mul 2`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// The value.
    pub value: Numbers,
    /// The gradient of the loss, if the walk computes it.
    pub gradient: Option<Numbers>,
    /// The gradients whose sum is `gradient`, one for each use of the variable. Empty for the loss.
    pub arrivals: Vec<Arrival>,
    /// The [step](Explanation::steps) of the operation that computed it.
    pub step: Option<usize>,
}

/// The kind of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A value without gradient.
    Constant,
    /// A leaf with a gradient.
    Parameter,
    /// The result of an operation.
    Computed,
}

/// A gradient that arrives at a variable from one of its uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Arrival {
    /// The step of the operation that uses the variable.
    pub step: usize,
    /// The variable's place among the inputs of that operation.
    pub input: usize,
    /// The gradient.
    pub gradient: Numbers,
}

/// A tensor as statistics, with all its elements if it is small.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Numbers {
    /// The number of elements.
    pub count: usize,
    /// The square root of the sum of squares.
    pub norm: f64,
    /// The smallest element.
    pub min: f64,
    /// The largest element.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// The number of elements that are exactly 0.
    pub zeros: usize,
    /// The elements in row-major order, if there are at most 64.
    pub elements: Option<Vec<f64>>,
}

/// One operation, with its part in the backward walk.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The name of the operation.
    pub op: String,
    /// The path of the layer that it belongs to, by the names of its parameters.
    pub layer: Option<String>,
    /// The path of the scope in which it was recorded.
    pub scope: Option<String>,
    /// The settings, such as `slope α = 0.01`.
    pub attributes: Vec<String>,
    /// What the forward pass saves for the backward pass.
    pub saved: String,
    /// The output: a position in [`Explanation::variables`]. Its gradient is dy.
    pub output: usize,
    /// The formula of the operation.
    pub formula: Rule,
    /// The derivative of the whole operation in symbols.
    pub derivative: String,
    /// The index of the output element whose numbers are in the formulas; `None` if they have no numbers, because the
    /// operation is not elementwise.
    pub at: Option<Vec<usize>>,
    /// The inputs.
    pub inputs: Vec<Input>,
    /// For elementwise operations: whether units are saturated or dead, and the factor that makes the product small.
    pub mark: Option<String>,
}

/// An input of an operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Input {
    /// A position in [`Explanation::variables`].
    pub variable: usize,
    /// Its symbol in the formulas.
    pub symbol: String,
    /// The rule of its gradient.
    pub rule: Option<Rule>,
    /// The gradient that the rule returned, if it is needed.
    pub gradient: Option<Numbers>,
}

/// Explains the gradients of a loss: walks back once and keeps every number.
///
/// ```
/// use chainrule_autograd::Var64;
/// use chainrule_explain::explain;
///
/// let w = Var64::parameter("w", 0.5);
/// let o = (3.0 * &w).sigmoid().named("o");
/// let loss = (0.5 * (1.0 - &o).square()).named("E");
/// let explanation = explain(&loss);
/// let sigmoid = &explanation.steps()[3];
/// assert_eq!((sigmoid.op.as_str(), sigmoid.derivative.as_str()), ("sigmoid", "dx = dy · y(1 − y)"));
/// assert_eq!(sigmoid.inputs[0].rule.as_ref().unwrap().numbers.as_deref(), Some("(−0.182426) · 0.817574(1 − 0.817574)"));
/// ```
///
/// # Panics
/// If the loss is not a scalar, depends on no parameter, or a parameter was changed since the forward pass.
#[track_caller]
pub fn explain<T: Float>(loss: &VarOf<T>) -> Explanation<T> {
    let graph = Graph::new(loss);
    let names = names(&graph);
    let variable = |i: usize| {
        let var = &graph.variables[i];
        let arrival = |&(step, input): &(usize, usize)| {
            let gradient = graph.walked[step].outgoing[input].as_ref()?;
            Some(Arrival { step, input, gradient: Numbers::of(gradient) })
        };
        Variable {
            name: names[i].clone(),
            kind: match var.operation() {
                Some(_) => Kind::Computed,
                None if var.is_parameter() => Kind::Parameter,
                None => Kind::Constant,
            },
            shape: var.shape().to_vec(),
            value: Numbers::of(&var.value()),
            gradient: graph.gradients[i].as_ref().map(Numbers::of),
            arrivals: graph.uses[i].iter().filter_map(arrival).collect(),
            step: graph.walked.iter().position(|walked| walked.output == i),
        }
    };
    let variables = (0..graph.variables.len()).map(variable).collect();
    let steps = (0..graph.walked.len()).map(|i| step(&graph, i)).collect();
    let is_named = loss.operation().is_some_and(|op| loss.name() != op.rule().name());
    Explanation { loss: if is_named { loss.name() } else { "L".into() }, variables, steps, graph }
}

impl<T: Float> Explanation<T> {
    /// The variables, in the order of the forward pass. The loss is the last.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The operations, in the order of the walk: from the loss to the inputs.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The symbol of the loss: its name, or `L`.
    #[must_use]
    pub fn loss(&self) -> &str {
        &self.loss
    }

    /// How a gradient is written: `∂L/∂w`.
    pub(crate) fn partial(&self, variable: usize, index: &str) -> String {
        format!("∂{}/∂{}{index}", self.loss, self.variables[variable].name)
    }
}

/// The names of variables, each different.
fn names<T: Float>(graph: &Graph<T>) -> Vec<String> {
    let names: Vec<String> = graph.variables.iter().map(VarOf::name).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in &names {
        *counts.entry(name).or_default() += 1;
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unique = |name| {
        let number = seen.entry(name).or_default();
        *number += 1;
        if counts[name] == 1 { name.to_owned() } else { format!("{name} {number}") }
    };
    names.iter().map(|name| unique(name)).collect()
}

fn step<T: Float>(graph: &Graph<T>, i: usize) -> Step {
    let walked = &graph.walked[i];
    let op = graph.operation(i);
    let rule = op.rule();
    let symbols = Symbols::new(graph, i);
    let inputs = walked.parents.iter().enumerate().map(|(k, &variable)| Input {
        variable,
        symbol: symbols.input(k),
        rule: symbols.gradient(k),
        gradient: walked.outgoing[k].as_ref().map(Numbers::of),
    });
    let inputs: Vec<Input> = inputs.collect();
    let formula = symbols.forward();
    let has_numbers = formula.numbers.is_some() || inputs.iter().flat_map(|x| &x.rule).any(|r| r.numbers.is_some());
    Step {
        op: rule.name().to_owned(),
        layer: op.layer(),
        scope: op.scope().map(Scope::path),
        attributes: rule.attributes().iter().map(ToString::to_string).collect(),
        saved: rule.saved().to_owned(),
        output: walked.output,
        derivative: rule.derivative().to_owned(),
        at: has_numbers.then(|| symbols.at()),
        inputs,
        mark: if formula.numbers.is_some() { mark(graph, i) } else { None },
        formula,
    }
}

impl Numbers {
    /// Tensors up to this size are listed in full.
    pub(crate) const LISTED: usize = 64;

    pub(crate) fn of<T: Float>(tensor: &TensorOf<T>) -> Self {
        let values: Vec<f64> = tensor.to_vec().into_iter().map(Scalar::to_f64).collect();
        let count = values.len();
        // NaN must not be passed over, as `f64::min` would do.
        let extreme = |better: fn(&f64, &f64) -> bool| {
            values.iter().copied().reduce(|a, b| if a.is_nan() || better(&a, &b) { a } else { b }).unwrap_or(0.0)
        };
        Self {
            count,
            norm: TensorOf::norm(&[tensor]).item(),
            min: extreme(|a, b| a <= b),
            max: extreme(|a, b| a >= b),
            mean: accurate_sum(values.iter().copied()) / count.max(1) as f64,
            zeros: values.iter().filter(|&&x| x == 0.0).count(),
            elements: (count <= Self::LISTED).then_some(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use chainrule_tensor::Tensor64;

    use super::Numbers;

    #[test]
    fn the_norm_of_large_and_small_numbers_is_exact() {
        for scale in [1e200, 1.0, 1e-200] {
            let norm = Numbers::of(&Tensor64::from([3.0 * scale, 4.0 * scale])).norm;
            assert!((norm / scale - 5.0).abs() < 1e-14, "{norm:e}");
        }
    }
}
