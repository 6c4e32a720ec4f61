//! Forward mode: the walk from the oldest node to the newest, which carries tangents along.

use std::collections::{BTreeMap, BTreeSet};

use chainrule_tensor::Float;

use crate::graph::{Tangent, TangentSource, VarOf};
use crate::paths::leading_to;
use crate::tangent::zeros;

impl<T: Float> VarOf<T> {
    /// The tangent of this variable, of its shape: its derivative along the seeds, which are pairs of a variable of its
    /// graph and the tangent of that variable.
    ///
    /// Each node on a path from a seed to this variable is visited once, after its parents. The tangent of a seed is the
    /// given one, even if the seed was computed from another. The result is recorded, unless recording is off. It is
    /// zero if this variable does not depend on a seed.
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// let (a, b) = (Var64::parameter("a", 2.0), Var64::parameter("b", 5.0));
    /// let y = &a * &b;
    /// let one = Var64::constant(1.0);
    /// assert_eq!(y.tangent(&[(&a, &one)]).value.item(), 5.0); // ∂y/∂a
    /// assert_eq!(y.tangent(&[(&a, &one), (&b, &one)]).value.item(), 7.0); // ∂y/∂a + ∂y/∂b
    /// ```
    ///
    /// # Panics
    /// If a tangent has not the shape of its variable, a seed is a constant without a name, or a parameter was changed
    /// since it was used.
    #[track_caller]
    #[must_use]
    pub fn tangent(&self, seeds: &[(&Self, &Self)]) -> Tangent<T> {
        tangents(&[self], seeds).remove(0)
    }
}

/// The tangents of several variables, as [`VarOf::tangent`], from one walk.
#[track_caller]
pub(crate) fn tangents<T: Float>(roots: &[&VarOf<T>], seeds: &[(&VarOf<T>, &VarOf<T>)]) -> Vec<Tangent<T>> {
    let mut found: BTreeMap<u64, Tangent<T>> = BTreeMap::new();
    for &(var, tangent) in seeds {
        let (name, shape) = (var.name(), var.shape());
        assert!(
            var.is_node(),
            "tangent: a seed is a constant without a name, which is no node of a graph\n  rule: name it, or use a parameter"
        );
        assert!(
            tangent.shape() == shape,
            "tangent: the tangent of '{name}' has shape {}\n  rule: it has the shape of the variable, {shape}",
            tangent.shape()
        );
        let earlier = found.remove(&var.id());
        let sum = earlier.map_or_else(|| tangent.clone(), |earlier| earlier.value + tangent);
        found.insert(var.id(), Tangent::forward(sum));
    }
    let targets: BTreeSet<u64> = found.keys().copied().collect();
    for (id, var) in leading_to(roots, &targets) {
        let Some(op) = var.operation().filter(|_| !targets.contains(&id)) else { continue };
        let mut source = TangentSource::Forward;
        let dx: Vec<Option<VarOf<T>>> = (0..op.parents())
            .map(|i| {
                let tangent = found.get(&op.parent(i).id())?;
                source = source.max(tangent.source);
                Some(tangent.value.clone())
            })
            .collect();
        let tangent = op.tangent(&dx);
        found.insert(id, Tangent { source: source.max(tangent.source), ..tangent });
    }
    let tangent = |root: &&VarOf<T>| found.get(&root.id()).cloned().unwrap_or_else(|| Tangent::forward(zeros(root)));
    roots.iter().map(tangent).collect()
}
