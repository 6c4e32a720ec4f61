//! The backward walk: the chain rule from the newest node to the oldest, each node once.
//!
//! The walk depends on no particular op. It is the only place where gradients are added, and it checks the results of
//! rules. docs/backprop.md explains the order of the walk.

use std::collections::BTreeSet;

use chainrule_tensor::{Float, TensorOf};
use smallvec::SmallVec;

use crate::graph::{Operation, VarOf};
use crate::internal::worklist::Worklist;
use crate::observer::Observer;
use crate::recording::is_recording;

/// Walks back from `root` through the variables for which `wanted` holds. Returns the gradients of parameters and of the
/// variables in `keep`, from the newest to the oldest.
#[track_caller]
pub(crate) fn walk<T: Float>(
    root: &VarOf<T>,
    keep: &BTreeSet<u64>,
    wanted: impl Fn(&VarOf<T>) -> bool,
    observer: &mut dyn Observer<T>,
) -> Vec<(VarOf<T>, VarOf<T>)> {
    let mut found = Vec::new();
    let mut worklist = Worklist::new();
    // The derivative of the root with respect to itself is 1.
    worklist.arrive(root, VarOf::constant(TensorOf::full_on(root.device(), root.shape(), T::ONE)), add);
    // Ids increase from inputs to outputs: when a variable is the newest on the list, all nodes that use it have been
    // visited, and its gradient is complete.
    while let Some((var, dy)) = worklist.pop_newest() {
        if var.is_parameter() {
            observer.gradient_final(var, &dy);
            found.push((var.clone(), dy));
            continue;
        }
        if keep.contains(&var.id()) {
            found.push((var.clone(), dy.clone()));
        }
        let Some(op) = var.operation() else { continue };
        let need = |parent: &VarOf<T>| parent.requires_grad() && wanted(parent);
        let needs: SmallVec<[bool; 8]> = (0..op.parents()).map(|i| need(op.parent(i))).collect();
        if !needs.contains(&true) {
            continue;
        }
        let gradients = op.rule().backward(&op, &dy, &needs);
        check(&op, &gradients, &needs);
        observer.node_done(&op, &dy, &gradients);
        drop(dy);
        for (i, gradient) in gradients.into_iter().enumerate() {
            if let (true, Some(gradient)) = (needs[i], gradient) {
                worklist.arrive(op.parent(i), gradient, add);
            }
        }
    }
    found
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
        let (shape, parent) = (gradient.shape(), op.parent(i).shape());
        assert!(
            shape == parent,
            "backward: the rule of '{}' returned a gradient of shape {shape} for parent {i} of shape {parent}",
            name()
        );
    }
}
