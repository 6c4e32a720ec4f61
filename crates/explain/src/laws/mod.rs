//! The laws of backpropagation, and what happens when one of them is broken.
//!
//! [`break_law`] trains a small net twice, with the walk of [`backward`] as it should be and with one law broken, and reports
//! which gradients go wrong first, how the loss behaves, and what a finite difference says.

mod nets;
mod report;
mod walk;

use chainrule_autograd::{Var64, map_records};
use chainrule_tensor::{Binary, Shape, Tensor64, Unary};

pub use nets::{Net, tiny_cnn, two_neurons};
pub use walk::{Gradients, backward};

use crate::number::unravel;

/// A law that every backward walk has to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// σ′ is taken at the input of the sigmoid.
    SigmoidDerivative,
    /// The gradients of all users of a value are added.
    Accumulate,
    /// A value is visited after all its users.
    TopologicalOrder,
    /// Each step starts with gradients of zero.
    StaleGradients,
    /// A value that was broadcast gets the sum over its copies.
    Unbroadcast,
    /// The gradients of a product contain transposes.
    Transpose,
    /// All rules of a walk use the weights of the forward pass.
    UpdateTooEarly,
}

/// Two runs of a net, one with a broken law.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The broken law.
    pub law: Law,
    /// The net.
    pub title: &'static str,
    /// The first step, from 1, with a wrong gradient, or `None` if the law makes no difference in this net.
    pub first: Option<usize>,
    /// The gradients of that step in the order of the walk, from the loss to the parameters.
    pub rows: Vec<Row>,
    /// The loss before each step, with all laws kept and with the broken one.
    pub losses: Vec<[f64; 2]>,
    /// Why the broken walk stopped at the first step, if a check of shapes caught it.
    pub caught: Option<String>,
}

/// The gradient of one value, at the element with the largest error.
#[derive(Clone, Debug)]
pub struct Row {
    /// The name of the value.
    pub name: String,
    /// The index of the element.
    pub index: Vec<usize>,
    /// The gradient with all laws kept.
    pub right: f64,
    /// The gradient with the broken law.
    pub broken: f64,
    /// The central difference of the loss.
    pub difference: f64,
    /// The ops that use the value.
    pub users: Vec<String>,
}

impl Row {
    /// Whether the broken gradient is wrong by more than rounding.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        (self.right - self.broken).abs() > 1e-12 * self.right.abs().max(self.broken.abs())
    }
}

/// Trains the net for some steps of gradient descent, with and without the law.
#[must_use]
pub fn break_law(law: Law, net: &Net, steps: usize) -> Experiment {
    let mut experiment =
        Experiment { law, title: net.title, first: None, rows: Vec::new(), losses: Vec::new(), caught: None };
    let start: Vec<Tensor64> = net.start.iter().map(|(_, value)| value.clone()).collect();
    let (mut right, mut broken) = (start.clone(), start);
    let mut previous: Vec<Tensor64> = Vec::new();
    for step in 1..=steps {
        let kept = net.parameters(&right);
        let loss = (net.loss)(&kept);
        let kept_gradients = backward(&loss, None, &Gradients::new(), net.lr).expect("no law is broken");

        let parameters = net.parameters(&broken);
        let broken_loss = (net.loss)(&parameters);
        experiment.losses.push([loss.item(), broken_loss.item()]);
        let before = parameters.iter().zip(&previous).map(|(p, g)| (p.id(), (p.clone(), g.clone()))).collect();
        let gradients = match backward(&broken_loss, Some(law), &before, net.lr) {
            Ok(gradients) => gradients,
            Err(text) => {
                (experiment.first, experiment.caught) = (Some(step), Some(text));
                return experiment;
            }
        };
        if experiment.first.is_none() {
            // At the same weights, so that only the walk differs.
            let honest = backward(&broken_loss, None, &Gradients::new(), net.lr).expect("no law is broken");
            let rows = compare(net, &broken, &honest, &gradients);
            if rows.iter().any(Row::is_wrong) {
                (experiment.first, experiment.rows) = (Some(step), rows);
            }
        }
        let descend = |values: &mut Vec<Tensor64>, parameters: &[Var64], gradients: &Gradients| {
            for (value, parameter) in values.iter_mut().zip(parameters) {
                // A broken walk may lose a parameter altogether.
                if let Some((_, gradient)) = gradients.get(&parameter.id()) {
                    *value = value.binary(Binary::Sub, &gradient.unary(Unary::Mul(net.lr)));
                }
            }
        };
        descend(&mut right, &kept, &kept_gradients);
        descend(&mut broken, &parameters, &gradients);
        let zeros = |p: &Var64| Tensor64::zeros(p.shape());
        previous =
            parameters.iter().map(|p| gradients.get(&p.id()).map_or_else(|| zeros(p), |g| g.1.clone())).collect();
    }
    experiment
}

/// The gradients of all nodes, from the loss to the parameters.
fn compare(net: &Net, values: &[Tensor64], honest: &Gradients, broken: &Gradients) -> Vec<Row> {
    // Parameters were created first; then the results of the operations, in the order of the ids.
    let row = |(place, (id, (var, gradient))): (usize, (&u64, &(Var64, Tensor64)))| {
        let right = gradient.to_vec();
        let wrong = broken.get(id).map_or_else(|| vec![0.0; right.len()], |(_, gradient)| gradient.to_vec());
        let error = |i: &usize| (right[*i] - wrong[*i]).abs();
        let largest =
            |by: &dyn Fn(&usize) -> f64| (0..right.len()).max_by(|a, b| by(a).total_cmp(&by(b))).expect("not empty");
        // If all are right, the largest gradient.
        let worst =
            Some(largest(&error)).filter(|i| error(i) > 0.0).unwrap_or_else(|| largest(&|i: &usize| right[*i].abs()));
        let use_by = |user: &Var64| {
            let op = user.operation()?;
            (0..op.parents()).any(|i| op.parent(i).id() == *id).then(|| op.rule().name().to_owned())
        };
        Row {
            name: var.name(),
            index: unravel(worst, &var.shape()),
            right: right[worst],
            broken: wrong[worst],
            difference: central_difference(net, values, place, worst),
            users: honest.values().filter_map(|(user, _)| use_by(user)).collect(),
        }
    };
    honest.iter().enumerate().rev().map(row).collect()
}

/// `(E(v + h) − E(v − h)) / 2h`, where v is one element of a parameter or, after the parameters, of the result of an
/// operation.
fn central_difference(net: &Net, values: &[Tensor64], place: usize, element: usize) -> f64 {
    let h = f64::EPSILON.cbrt();
    let one_hot = move |shape: Shape, h: f64| Tensor64::from_fn(shape, |i| if i == element { h } else { 0.0 });
    let at = |h: f64| {
        let Some(operation) = place.checked_sub(values.len()) else {
            let mut moved = values.to_vec();
            moved[place] = values[place].binary(Binary::Add, &one_hot(values[place].shape(), h));
            return (net.loss)(&net.parameters(&moved)).item();
        };
        let mut recorded = 0..;
        // What is added to a result is part of it for all that use it.
        let nudge = move |var: Var64| match recorded.next() {
            Some(k) if k == operation => &var + Var64::constant(one_hot(var.shape(), h)),
            _ => var,
        };
        map_records(nudge, || (net.loss)(&net.parameters(values))).item()
    };
    (at(h) - at(-h)) / (2.0 * h)
}
