//! A graph with the gradients of one backward walk: the numbers that explanations are made of.

use std::collections::BTreeMap;

use chainrule_autograd::{Observer, Operation, VarOf};
use chainrule_tensor::{Float, TensorOf};

/// One operation, as the walk saw it.
pub(crate) struct Walked<T: Float> {
    /// The position of the output in [`Graph::variables`].
    pub output: usize,
    /// The positions of the parents.
    pub parents: Vec<usize>,
    /// The gradient that the rule returned for each parent that needs one.
    pub outgoing: Vec<Option<TensorOf<T>>>,
}

/// The variables that a loss was computed from, with their gradients.
pub(crate) struct Graph<T: Float> {
    /// In the order of the forward pass; constants and parameters come right before their first use. The loss is last.
    pub variables: Vec<VarOf<T>>,
    /// The gradient of each variable that has one.
    pub gradients: Vec<Option<TensorOf<T>>>,
    /// The operations, in the order of the walk: from the loss to the inputs.
    pub walked: Vec<Walked<T>>,
    /// For each variable the uses through which a gradient arrives: position in `walked`, and number of the parent.
    pub uses: Vec<Vec<(usize, usize)>>,
    positions: BTreeMap<u64, usize>,
}

impl<T: Float> Graph<T> {
    /// Walks back from the loss once and keeps all gradients.
    ///
    /// # Panics
    /// As [`VarOf::backward`], and if a part of the graph is [recomputed](chainrule_autograd::recompute).
    #[track_caller]
    pub fn new(loss: &VarOf<T>) -> Self {
        let variables = in_forward_order(loss);
        let recomputed = variables.iter().filter_map(VarOf::operation).any(|op| op.rule().name() == "recompute");
        assert!(
            !recomputed,
            "explain: a part of the graph is recomputed\n  rule: run the net in `unfused`, or without `recompute`"
        );
        let mut recorder = Recorder { found: Vec::new(), parameters: BTreeMap::new() };
        let _ = loss.backward_observed(&[], &mut recorder);
        let positions: BTreeMap<u64, usize> = variables.iter().enumerate().map(|(i, var)| (var.id(), i)).collect();
        let mut gradients: Vec<Option<TensorOf<T>>> =
            variables.iter().map(|var| recorder.parameters.get(&var.id()).cloned()).collect();
        let mut uses = vec![Vec::new(); variables.len()];
        let mut walked = Vec::new();
        for Found { output, dy, outgoing } in recorder.found {
            let output = positions[&output];
            let op = variables[output].operation().expect("the walk runs rules of operations");
            let parents: Vec<usize> = (0..op.parents()).map(|i| positions[&op.parent(i).id()]).collect();
            for (i, gradient) in outgoing.iter().enumerate() {
                if gradient.is_some() {
                    uses[parents[i]].push((walked.len(), i));
                }
            }
            gradients[output] = Some(dy);
            walked.push(Walked { output, parents, outgoing });
        }
        let mut graph = Self { variables, gradients, walked, uses, positions };
        graph.complete();
        graph
    }

    /// Adds up the gradients of operations at which the walk ended, since all that they depend on is frozen.
    fn complete(&mut self) {
        for i in 0..self.variables.len() {
            if self.gradients[i].is_some() {
                continue;
            }
            let arriving = self.uses[i].iter().filter_map(|&(step, parent)| self.walked[step].outgoing[parent].clone());
            self.gradients[i] = arriving.reduce(|mut sum, gradient| {
                sum.add_assign(&gradient);
                sum
            });
        }
    }

    /// The position of a variable.
    pub fn position(&self, var: &VarOf<T>) -> Option<usize> {
        self.positions.get(&var.id()).copied()
    }

    /// The operation of a step of the walk.
    pub fn operation(&self, step: usize) -> Operation<'_, T> {
        self.variables[self.walked[step].output].operation().expect("a step of the walk is an operation")
    }
}

/// All variables that the loss depends on, in the order of the forward pass.
fn in_forward_order<T: Float>(loss: &VarOf<T>) -> Vec<VarOf<T>> {
    let mut computed = BTreeMap::new();
    let mut stack = vec![loss.clone()];
    while let Some(var) = stack.pop() {
        if let Some(op) = var.operation()
            && computed.insert(var.id(), var.clone()).is_none()
        {
            stack.extend((0..op.parents()).map(|i| op.parent(i).clone()));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut order = Vec::new();
    for var in computed.into_values() {
        let op = var.operation().expect("only results of operations were collected");
        for parent in (0..op.parents()).map(|i| op.parent(i)).filter(|parent| parent.operation().is_none()) {
            if seen.insert(parent.id()) {
                order.push(parent.clone());
            }
        }
        order.push(var);
    }
    order
}

struct Found<T: Float> {
    output: u64,
    dy: TensorOf<T>,
    outgoing: Vec<Option<TensorOf<T>>>,
}

/// Keeps what the walk reports.
struct Recorder<T: Float> {
    found: Vec<Found<T>>,
    parameters: BTreeMap<u64, TensorOf<T>>,
}

impl<T: Float> Observer<T> for Recorder<T> {
    fn node_done(&mut self, op: &Operation<T>, dy: &VarOf<T>, gradients: &[Option<VarOf<T>>]) {
        let needed = |(i, gradient): (usize, &Option<VarOf<T>>)| {
            gradient.as_ref().filter(|_| op.parent(i).requires_grad()).map(|gradient| gradient.value().clone())
        };
        let outgoing = gradients.iter().enumerate().map(needed).collect();
        self.found.push(Found { output: op.output().id(), dy: dy.value().clone(), outgoing });
    }

    fn gradient_final(&mut self, parameter: &VarOf<T>, gradient: &VarOf<T>) {
        self.parameters.insert(parameter.id(), gradient.value().clone());
    }
}
