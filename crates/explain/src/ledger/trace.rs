//! Runs of a function with all values that it recorded, optionally with one of them nudged.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use chainrule_autograd::{Observer, Operation, Var64, VarOf, map_records};
use chainrule_tensor::{Binary, Tensor64, Unary};

/// A function of parameters.
pub(super) type Function<'a> = &'a dyn Fn() -> Var64;

/// The results of all operations of one run, in the order in which they were recorded; a number in it, k, means the same
/// operation in each run.
pub(super) struct Run {
    pub results: Vec<Var64>,
    pub loss: Var64,
}

/// A change of the result of the k-th operation.
pub(super) struct Nudge<'a> {
    pub k: usize,
    pub by: &'a Tensor64,
}

/// Runs the function. The nudge is added to the k-th result before other operations use it.
pub(super) fn run(f: Function, nudge: Option<&Nudge>) -> Run {
    let results = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&results);
    let nudge = nudge.map(|nudge| (nudge.k, Var64::constant(nudge.by)));
    let loss = map_records(
        move |var: Var64| {
            let mut log = log.borrow_mut();
            let var = match &nudge {
                Some((k, by)) if *k == log.len() => var + by,
                _ => var,
            };
            log.push(var.clone());
            var
        },
        f,
    );
    Run { results: results.take(), loss }
}

/// How fast the results of all operations change along a move: central differences with step h.
pub(super) fn rates(at: impl Fn(f64) -> Run, h: f64) -> Vec<Tensor64> {
    let (right, left) = (at(h), at(-h));
    let rate =
        |(right, left): (&Var64, &Var64)| right.value().binary(Binary::Sub, &left.value()).unary(Unary::Div(2.0 * h));
    right.results.iter().zip(&left.results).map(rate).collect()
}

/// `⟨a, b⟩`.
pub(super) fn dot(a: &Tensor64, b: &Tensor64) -> f64 {
    a.binary(Binary::Mul, b).sum(&[], false).item()
}

/// One operation, as the backward walk saw it.
pub(super) struct Step {
    pub rule: String,
    pub derivative: String,
    /// The ids and names of the inputs.
    pub parents: Vec<(u64, String)>,
    /// The gradient of the output.
    pub dy: Tensor64,
    /// What the rule returned for each input.
    pub gradients: Vec<Option<Tensor64>>,
}

/// Walks back from the loss once: all steps, by the id of the output.
pub(super) fn steps(loss: &Var64) -> BTreeMap<u64, Step> {
    struct Recorder(BTreeMap<u64, Step>);
    impl Observer<f64> for Recorder {
        fn node_done(&mut self, op: &Operation<f64>, dy: &Var64, gradients: &[Option<VarOf<f64>>]) {
            let parents = (0..op.parents()).map(|i| op.parent(i)).map(|parent| (parent.id(), parent.name())).collect();
            let gradients = gradients.iter().map(|g| g.as_ref().map(|g| g.value().clone())).collect();
            let step = Step {
                rule: op.rule().name().into(),
                derivative: op.rule().derivative().into(),
                parents,
                dy: dy.value().clone(),
                gradients,
            };
            self.0.insert(op.output().id(), step);
        }
    }
    let mut recorder = Recorder(BTreeMap::new());
    let _ = loss.backward_observed(&[], &mut recorder);
    recorder.0
}
