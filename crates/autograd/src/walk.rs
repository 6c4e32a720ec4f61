//! The backward walk: from the newest node to the oldest, each once, adding up what arrives at each.
//!
//! The walk knows no op. It alone adds gradients, and it checks what rules return.

use std::collections::{BTreeMap, BTreeSet};

use chainrule_tensor::{Float, TensorOf};
use smallvec::SmallVec;

use crate::gradients::GradientsOf;
use crate::operation::Operation;
use crate::pending::{Entry, Pending};
use crate::recording::{is_recording, with_recording};
use crate::var::VarOf;

/// Watches a backward walk.
pub trait Observer<T: Float> {
    /// A node's rule has run: `dy` came in, `gradients` go to its parents.
    fn node_done(&mut self, op: &Operation<T>, dy: &VarOf<T>, gradients: &[Option<VarOf<T>>]) {
        let _ = (op, dy, gradients);
    }

    /// A parameter's gradient is complete.
    fn gradient_final(&mut self, parameter: &VarOf<T>, gradient: &VarOf<T>) {
        let _ = (parameter, gradient);
    }
}

/// Watches nothing.
struct Nobody;
impl<T: Float> Observer<T> for Nobody {}

impl<T: Float> VarOf<T> {
    /// The gradients of this number with respect to all parameters that it was computed from.
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// let w = Var64::parameter("w", [1.0, 2.0]);
    /// assert_eq!(w.square().sum().backward()[&w].to_vec(), [2.0, 4.0]);
    /// ```
    ///
    /// # Panics
    /// If this is not one number, no parameter was used, or a parameter was changed since.
    #[track_caller]
    pub fn backward(&self) -> GradientsOf<T> {
        self.backward_observed(&[], &mut Nobody)
    }

    /// As [`backward`](Self::backward), with the gradients of some intermediate variables too.
    ///
    /// # Panics
    /// As [`backward`](Self::backward).
    #[track_caller]
    pub fn backward_keeping(&self, keep: &[&Self]) -> GradientsOf<T> {
        self.backward_observed(keep, &mut Nobody)
    }

    /// As [`backward_keeping`](Self::backward_keeping), under the eyes of an observer.
    ///
    /// # Panics
    /// As [`backward`](Self::backward).
    #[track_caller]
    pub fn backward_observed(&self, keep: &[&Self], observer: &mut dyn Observer<T>) -> GradientsOf<T> {
        assert!(
            self.shape().numel() == 1,
            "backward: '{}' has shape {}\n  rule: a gradient is that of one number; take a sum or a mean first",
            self.name(),
            self.shape()
        );
        assert!(
            self.requires_grad(),
            "backward: '{}' was computed from no parameter, or under no_grad\n  rule: something must need a gradient",
            self.name()
        );
        let keep = keep.iter().map(|var| var.id()).collect();
        with_recording(false, || {
            let found = walk(self, &keep, |_| true, observer);
            // From the newest to the oldest, as the walk went.
            GradientsOf::new(found.into_iter().rev().map(|(var, gradient)| (var, gradient.into_value())).collect())
        })
    }

    /// The gradient of this number with respect to any variable, itself on the graph: it can be differentiated again.
    ///
    /// # Panics
    /// If this is not one number, or does not depend on the variable.
    #[track_caller]
    #[must_use]
    pub fn gradient(&self, of: &Self) -> Self {
        self.gradients(&[of]).remove(0)
    }

    /// The gradients of this number with respect to several variables, themselves on the graph.
    ///
    /// # Panics
    /// If this is not one number, or does not depend on one of the variables.
    #[track_caller]
    pub fn gradients(&self, of: &[&Self]) -> Vec<Self> {
        assert!(self.shape().numel() == 1, "gradient: '{}' has shape {}, not one number", self.name(), self.shape());
        let targets: BTreeSet<u64> = of.iter().map(|var| var.id()).collect();
        let on_the_way = leading_to(self, &targets);
        let found = walk(self, &targets, |var| on_the_way.contains(&var.id()), &mut Nobody);
        let gradient = |var: &&Self| {
            let Ok(i) = found.binary_search_by(|(other, _)| var.id().cmp(&other.id())) else {
                panic!("gradient: '{}' does not depend on '{}'", self.name(), var.name());
            };
            found[i].1.clone()
        };
        of.iter().map(gradient).collect()
    }
}

/// The ids of all nodes from which `root` was computed and that were computed from one of the targets, targets included.
fn leading_to<T: Float>(root: &VarOf<T>, targets: &BTreeSet<u64>) -> BTreeSet<u64> {
    let mut nodes = BTreeMap::new();
    let mut stack = vec![root.clone()];
    while let Some(var) = stack.pop() {
        if nodes.insert(var.id(), var.clone()).is_none() {
            stack.extend(
                var.operation().into_iter().flat_map(|op| op.recorded.edges.iter()).map(|edge| edge.parent.clone()),
            );
        }
    }
    let mut leading = BTreeSet::new();
    for (id, var) in nodes {
        let through =
            var.operation().is_some_and(|op| op.recorded.edges.iter().any(|edge| leading.contains(&edge.parent.id())));
        if targets.contains(&id) || through {
            leading.insert(id);
        }
    }
    leading
}

/// Walks back from `root`, through the nodes that are `wanted`, and returns the gradients of parameters and of the
/// variables in `keep`, by descending id.
#[track_caller]
fn walk<T: Float>(
    root: &VarOf<T>,
    keep: &BTreeSet<u64>,
    wanted: impl Fn(&VarOf<T>) -> bool,
    observer: &mut dyn Observer<T>,
) -> Vec<(VarOf<T>, VarOf<T>)> {
    let mut pending = Pending::new();
    pending.arrive(root, VarOf::constant(TensorOf::full_on(root.device(), root.shape(), T::ONE)), add);
    let mut found = Vec::new();
    // Ids grow from inputs to outputs: when a node is the newest of those pending, all that it contributed to is done.
    while let Some(Entry { var, gradient: dy, .. }) = pending.pop() {
        if var.is_parameter() {
            observer.gradient_final(var, &dy);
            found.push((var.clone(), dy));
            continue;
        }
        if keep.contains(&var.id()) {
            found.push((var.clone(), dy.clone()));
        }
        let Some(op) = var.operation() else { continue };
        let name = || op.rule().name();
        let mut needs: SmallVec<[bool; 8]> = SmallVec::from_elem(false, op.parents());
        for (i, need) in needs.iter_mut().enumerate() {
            let parent = op.parent(i);
            *need = parent.requires_grad() && wanted(parent);
        }
        if !needs.contains(&true) {
            continue;
        }
        let gradients = op.rule().backward(&op, &dy, &needs);
        assert!(
            gradients.len() == needs.len(),
            "backward: the rule of '{}' returned {} gradients for {} parents",
            name(),
            gradients.len(),
            needs.len()
        );
        observer.node_done(&op, &dy, &gradients);
        drop(dy);
        for (i, (need, gradient)) in needs.into_iter().zip(gradients).enumerate() {
            if !need {
                continue;
            }
            let parent = op.parent(i);
            let Some(gradient) = gradient else {
                panic!("backward: the rule of '{}' returned no gradient for parent {i}, which needs one", name());
            };
            assert!(
                gradient.shape() == parent.shape(),
                "backward: the rule of '{}' returned a gradient of shape {} for parent {i} of shape {}",
                name(),
                gradient.shape(),
                parent.shape()
            );
            pending.arrive(parent, gradient, add);
        }
    }
    found
}

/// The one place that adds gradients.
fn add<T: Float>(sum: &mut VarOf<T>, gradient: VarOf<T>) {
    *sum = if is_recording() {
        &*sum + &gradient
    } else {
        // In place, unless the rule kept a handle of what came before.
        let mut total = std::mem::replace(sum, gradient).into_value();
        total.add_assign(&sum.value());
        VarOf::constant(total)
    };
}

/// The gradients of a node's parents where the node's value is also given by `f`, a composition of other ops: for rules
/// of fused backward ops.
///
/// `f` is recorded on stand-ins for the parents, so that what comes back are partial derivatives even where one parent
/// depends on another, and stays on the graph.
#[track_caller]
pub(crate) fn composed_gradients<T: Float>(
    op: &Operation<T>,
    dy: &VarOf<T>,
    needs: &[bool],
    f: impl FnOnce(&[VarOf<T>]) -> VarOf<T>,
) -> Vec<Option<VarOf<T>>> {
    with_recording(true, || {
        let stand_ins: Vec<VarOf<T>> = (0..needs.len()).map(|i| 1.0 * op.parent(i)).collect();
        let y = (f(&stand_ins) * dy).sum();
        let wanted: Vec<&VarOf<T>> = stand_ins.iter().zip(needs).filter(|&(_, &need)| need).map(|(x, _)| x).collect();
        let mut found = y.gradients(&wanted).into_iter();
        needs.iter().map(|&need| need.then(|| found.next().expect("one for each wanted"))).collect()
    })
}
