//! The paths of a graph.

use std::collections::{BTreeMap, BTreeSet};

use chainrule_tensor::Float;

use crate::graph::VarOf;

/// All nodes on a path from a target to a root, targets included, by id.
pub(crate) fn leading_to<T: Float>(roots: &[&VarOf<T>], targets: &BTreeSet<u64>) -> BTreeMap<u64, VarOf<T>> {
    // A node that is older than all targets leads back to none of them.
    let oldest = targets.first().copied().unwrap_or(u64::MAX);
    let mut nodes = BTreeMap::new();
    let mut stack: Vec<VarOf<T>> = roots.iter().map(|&root| root.clone()).collect();
    while let Some(var) = stack.pop() {
        if var.id() >= oldest && nodes.insert(var.id(), var.clone()).is_none() {
            stack.extend(parents(&var).cloned());
        }
    }
    let mut leading = BTreeMap::new();
    // In ascending order of ids, so parents come first; constants have no parents.
    for (id, var) in nodes {
        if targets.contains(&id) || parents(&var).any(|parent| leading.contains_key(&parent.id())) {
            leading.insert(id, var);
        }
    }
    leading
}

/// Whether a variable was computed from another.
pub(crate) fn depends_on<T: Float>(root: &VarOf<T>, other: &VarOf<T>) -> bool {
    leading_to(&[root], &BTreeSet::from([other.id()])).contains_key(&root.id())
}

fn parents<T: Float>(var: &VarOf<T>) -> impl Iterator<Item = &VarOf<T>> {
    var.operation().into_iter().flat_map(|op| op.recorded.edges.iter()).map(|edge| &edge.parent)
}
