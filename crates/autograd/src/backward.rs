//! The methods that start a backward walk: `backward` for training, `gradient` for derivatives that are differentiated
//! again.

use std::collections::{BTreeMap, BTreeSet};

use chainrule_tensor::Float;

use crate::gradients::GradientsOf;
use crate::observer::{Nobody, Observer};
use crate::recording::with_recording;
use crate::var::VarOf;
use crate::walk::walk;

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
