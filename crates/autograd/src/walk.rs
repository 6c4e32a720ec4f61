//! The backward walk: the chain rule from the newest node to the oldest, each node once.
//!
//! The walk depends on no particular op. It is the only place where gradients are added, and it checks the results of
//! rules. docs/backprop.md explains the order of the walk.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use chainrule_tensor::{Float, TensorOf};
use smallvec::SmallVec;

use crate::graph::{Operation, VarOf};
use crate::internal::uses::Uses;
use crate::internal::worklist::Worklist;
use crate::observer::Observer;
use crate::recording::is_recording;

/// Walks back from `root`, whose gradient is `dy`, through the variables for which `wanted` holds. Returns the gradients of
/// parameters and of the variables in `keep`, from the newest to the oldest.
#[track_caller]
pub(crate) fn walk<T: Float>(
    root: &VarOf<T>,
    dy: VarOf<T>,
    keep: &BTreeSet<u64>,
    wanted: impl Fn(&VarOf<T>) -> bool,
    observer: &mut dyn Observer<T>,
) -> Vec<(VarOf<T>, VarOf<T>)> {
    let mut walk = Walk { keep, wanted: &wanted, observer, found: Vec::new() };
    walk.run(root, dy, None);
    let mut found = walk.found;
    if !found.is_sorted_by_key(|(var, _)| Reverse(var.id())) {
        found.sort_by_key(|(var, _)| Reverse(var.id()));
    }
    found
}

/// The derivative of a variable with respect to itself: ones.
pub(crate) fn ones<T: Float>(var: &VarOf<T>) -> VarOf<T> {
    VarOf::constant(TensorOf::full_on(var.device(), var.shape(), T::ONE))
}

struct Walk<'w, T: Float> {
    keep: &'w BTreeSet<u64>,
    wanted: &'w dyn Fn(&VarOf<T>) -> bool,
    observer: &'w mut dyn Observer<T>,
    found: Vec<(VarOf<T>, VarOf<T>)>,
}

/// The surroundings of operations that were recorded again in place of an operation.
struct Around<'w, T: Float> {
    /// The id of that operation's output. All its inputs are older, and what was recorded again is newer.
    id: u64,
    /// Takes a gradient of one of its inputs.
    arrive: &'w mut dyn FnMut(&VarOf<T>, VarOf<T>),
}

impl<T: Float> Walk<'_, T> {
    #[track_caller]
    fn run(&mut self, root: &VarOf<T>, dy: VarOf<T>, mut around: Option<Around<'_, T>>) {
        let mut worklist = Worklist::new();
        // What is recorded again passes its gradients on to this walk, which knows when they are final.
        let eager = around.is_none() && self.observer.is_eager();
        let mut uses = eager.then(|| Uses::count(root, self.wanted));
        worklist.arrive(root, dy, add);
        // Ids increase from inputs to outputs: when a variable is the newest on the list, all nodes that use it have been
        // visited, and its gradient is complete.
        while let Some((var, dy)) = worklist.pop_newest() {
            if var.is_parameter() {
                self.gradient_final(var, dy);
                continue;
            }
            if self.keep.contains(&var.id()) {
                self.found.push((var.clone(), dy.clone()));
            }
            let Some(op) = var.operation() else { continue };
            // `wanted` says nothing of operations that were recorded again: all of them are visited.
            let (wanted, outside) = (self.wanted, around.as_ref().map_or(u64::MAX, |around| around.id));
            let need = |parent: &VarOf<T>| parent.requires_grad() && (parent.id() > outside || wanted(parent));
            let needs: SmallVec<[bool; 8]> = (0..op.parents()).map(|i| need(op.parent(i))).collect();
            if !needs.contains(&true) {
                continue;
            }
            let mut arrive = |i: usize, gradient| match &mut around {
                Some(around) if op.parent(i).id() < around.id => (around.arrive)(op.parent(i), gradient),
                _ => worklist.arrive(op.parent(i), gradient, add),
            };
            if let Some(again) = op.rule().recompute(&op) {
                self.run_again(&op, &again, dy, &mut arrive);
            } else {
                let gradients = op.rule().backward(&op, &dy, &needs);
                check(&op, &gradients, &needs);
                self.observer.node_done(&op, &dy, &gradients);
                drop(dy);
                for (i, gradient) in gradients.into_iter().enumerate() {
                    if let (true, Some(gradient)) = (needs[i], gradient) {
                        arrive(i, gradient);
                    }
                }
            }
            for id in uses.iter_mut().flat_map(|uses| uses.done(&op)) {
                if let Some((parameter, gradient)) = worklist.take(id) {
                    self.gradient_final(parameter, gradient);
                }
            }
        }
    }

    fn gradient_final(&mut self, parameter: &VarOf<T>, gradient: VarOf<T>) {
        self.observer.gradient_final(parameter, &gradient);
        self.found.push((parameter.clone(), gradient));
    }

    /// Walks through the operations `again`, which were recorded in place of `op`, up to the inputs of `op`. A gradient of an
    /// input is passed on as it arrives, not when all have: so the sums have the order, and the bits, that they would have if
    /// these operations were part of the graph.
    #[track_caller]
    fn run_again(
        &mut self,
        op: &Operation<T>,
        again: &VarOf<T>,
        dy: VarOf<T>,
        arrive: &mut dyn FnMut(usize, VarOf<T>),
    ) {
        let mut arrive = |input: &VarOf<T>, gradient| {
            let i = (0..op.parents()).find(|&i| op.parent(i).id() == input.id()).unwrap_or_else(|| {
                panic!(
                    "backward: '{}' used '{}' only when it was run again\n  rule: it must compute the same from the same variables each time",
                    op.rule().name(),
                    input.name()
                )
            });
            arrive(i, gradient);
        };
        self.run(again, dy, Some(Around { id: op.output().id(), arrive: &mut arrive }));
    }
}

/// The one place that adds gradients.
fn add<T: Float>(sum: &mut VarOf<T>, gradient: VarOf<T>) {
    *sum = if is_recording() {
        &*sum + &gradient
    } else {
        // In place, unless a rule kept a handle of the previous sum.
        let mut total = std::mem::replace(sum, gradient).into_value();
        total.add_assign(&sum.value());
        VarOf::constant(total)
    };
}

/// Checks that a rule returned one gradient for each parent, with the parent's shape where it is needed.
#[track_caller]
pub(crate) fn check<T: Float>(op: &Operation<T>, gradients: &[Option<VarOf<T>>], needs: &[bool]) {
    let name = || op.rule().name();
    assert!(
        gradients.len() == needs.len(),
        "backward: the rule of '{}' returned {} gradients for {} parents",
        name(),
        gradients.len(),
        needs.len()
    );
    for (i, gradient) in gradients.iter().enumerate().filter(|&(i, _)| needs[i]) {
        let Some(gradient) = gradient else {
            panic!("backward: the rule of '{}' returned no gradient for parent {i}, which needs one", name());
        };
        let (shape, parent) = (gradient.shape_ref(), op.parent(i).shape_ref());
        assert!(
            shape == parent,
            "backward: the rule of '{}' returned a gradient of shape {shape} for parent {i} of shape {parent}",
            name()
        );
    }
}
