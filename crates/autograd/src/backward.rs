//! The methods that start a backward walk: `backward` for training, `gradient` for derivatives that can be differentiated
//! again.

use std::collections::BTreeSet;

use chainrule_tensor::{Float, TensorOf};

use crate::gradients::GradientsOf;
use crate::graph::VarOf;
use crate::observer::{Nobody, Observer};
use crate::paths::leading_to;
use crate::recording::with_recording;
use crate::walk::{ones, walk};

impl<T: Float> VarOf<T> {
    /// The gradients of this scalar with respect to all parameters that it was computed from.
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// let w = Var64::parameter("w", [1.0, 2.0]);
    /// assert_eq!(w.square().sum().backward()[&w].to_vec(), [2.0, 4.0]);
    /// ```
    ///
    /// # Panics
    /// If this is not a scalar, depends on no parameter, or a parameter was changed since the forward pass.
    #[track_caller]
    pub fn backward(&self) -> GradientsOf<T> {
        self.backward_observed(&[], &mut Nobody)
    }

    /// As [`backward`](Self::backward), and keeps the gradients of some intermediate variables.
    ///
    /// # Panics
    /// As [`backward`](Self::backward).
    #[track_caller]
    pub fn backward_keeping(&self, keep: &[&Self]) -> GradientsOf<T> {
        self.backward_observed(keep, &mut Nobody)
    }

    /// As [`backward_keeping`](Self::backward_keeping), and calls an observer at each node.
    ///
    /// # Panics
    /// As [`backward`](Self::backward).
    #[track_caller]
    pub fn backward_observed(&self, keep: &[&Self], observer: &mut dyn Observer<T>) -> GradientsOf<T> {
        assert!(
            self.shape().numel() == 1,
            "backward: '{}' has shape {}\n  rule: only scalars have a gradient; take a sum or a mean first",
            self.name(),
            self.shape()
        );
        self.check_requires_grad();
        self.collect(ones(self), keep, observer)
    }

    /// The gradients of `⟨dy, y⟩`, where y is this variable, with respect to all parameters: the walk starts from `dy` instead
    /// of 1 (`y.backward(dy)` in PyTorch). For products with the Jacobian of a function see [`vjp`](crate::vjp).
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// let w = Var64::parameter("w", [1.0, 2.0]);
    /// assert_eq!(w.square().backward_from(&[1.0, 10.0].into())[&w].to_vec(), [2.0, 40.0]);
    /// ```
    ///
    /// # Panics
    /// If `dy` does not have the shape of this variable, this depends on no parameter, or a parameter was changed since the
    /// forward pass.
    #[track_caller]
    pub fn backward_from(&self, dy: &TensorOf<T>) -> GradientsOf<T> {
        assert!(
            dy.shape() == self.shape(),
            "backward_from: dy has shape {}\n  rule: it has the shape of '{}', {}",
            dy.shape(),
            self.name(),
            self.shape()
        );
        self.check_requires_grad();
        self.collect(dy.into(), &[], &mut Nobody)
    }

    #[track_caller]
    fn check_requires_grad(&self) {
        assert!(
            self.requires_grad(),
            "backward: '{}' was computed from no parameter, or under no_grad\n  rule: at least one parameter must require a gradient",
            self.name()
        );
    }

    /// The gradients that a walk from `dy` finds, not recorded.
    #[track_caller]
    fn collect(&self, dy: Self, keep: &[&Self], observer: &mut dyn Observer<T>) -> GradientsOf<T> {
        let keep = keep.iter().map(|var| var.id()).collect();
        let found = with_recording(false, || walk(self, dy, &keep, |_| true, observer));
        // `found` is in the order of the walk, from the newest to the oldest.
        GradientsOf::new(found.into_iter().rev().map(|(var, gradient)| (var, gradient.into_value())).collect())
    }

    /// The gradient of this scalar with respect to any variable. It is recorded and can be differentiated again.
    ///
    /// # Panics
    /// If this is not a scalar, or does not depend on the variable.
    #[track_caller]
    #[must_use]
    pub fn gradient(&self, of: &Self) -> Self {
        self.gradients(&[of]).remove(0)
    }

    /// The gradients of this scalar with respect to several variables. They are recorded and can be differentiated again.
    ///
    /// # Panics
    /// If this is not a scalar, or does not depend on one of the variables.
    #[track_caller]
    pub fn gradients(&self, of: &[&Self]) -> Vec<Self> {
        assert!(
            self.shape().numel() == 1,
            "gradient: '{}' has shape {} and is not a scalar",
            self.name(),
            self.shape()
        );
        let found = self.gradients_if_any(&ones(self), of).into_iter().zip(of);
        let gradient = |(gradient, var): (Option<Self>, &&Self)| {
            gradient.unwrap_or_else(|| panic!("gradient: '{}' does not depend on '{}'", self.name(), var.name()))
        };
        found.map(gradient).collect()
    }

    /// The gradients of ⟨dy, y⟩ for this y, `None` where it does not depend on the variable.
    #[track_caller]
    pub(crate) fn gradients_if_any(&self, dy: &Self, of: &[&Self]) -> Vec<Option<Self>> {
        let targets: BTreeSet<u64> = of.iter().map(|var| var.id()).collect();
        let on_the_way = leading_to(&[self], &targets);
        let found = walk(self, dy.clone(), &targets, |var| on_the_way.contains_key(&var.id()), &mut Nobody);
        let position = |var: &&Self| found.binary_search_by(|(other, _)| var.id().cmp(&other.id())).ok();
        of.iter().map(|var| position(var).map(|i| found[i].1.clone())).collect()
    }
}
