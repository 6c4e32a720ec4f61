//! How often the operations of a graph use its parameters.

use std::collections::{BTreeMap, BTreeSet};

use chainrule_tensor::Float;
use smallvec::SmallVec;

use crate::graph::{Operation, VarOf};

/// The number of uses that a backward walk has not come to yet, for each parameter.
pub(crate) struct Uses(BTreeMap<u64, usize>);

impl Uses {
    /// Counts the uses by all operations that a walk from `root` visits: those that lead to a parameter that is not frozen
    /// through variables for which `wanted` holds.
    pub(crate) fn count<T: Float>(root: &VarOf<T>, wanted: &dyn Fn(&VarOf<T>) -> bool) -> Self {
        let (mut uses, mut seen, mut stack) = (BTreeMap::new(), BTreeSet::new(), vec![root]);
        while let Some(var) = stack.pop() {
            let Some(op) = var.operation().filter(|_| seen.insert(var.id())) else { continue };
            for parent in
                (0..op.parents()).map(|i| op.parent(i)).filter(|parent| parent.requires_grad() && wanted(parent))
            {
                if parent.is_parameter() {
                    *uses.entry(parent.id()).or_default() += 1;
                } else {
                    stack.push(parent);
                }
            }
        }
        Self(uses)
    }

    /// Takes note that the walk is done with an operation. Returns the parameters whose last use that was.
    pub(crate) fn done<T: Float>(&mut self, op: &Operation<T>) -> SmallVec<[u64; 4]> {
        let parents = (0..op.parents()).map(|i| op.parent(i)).filter(|parent| parent.is_parameter());
        let is_last = |id: &u64| {
            let Some(left) = self.0.get_mut(id) else { return false };
            *left -= 1;
            *left == 0
        };
        parents.map(VarOf::id).filter(is_last).collect()
    }
}
