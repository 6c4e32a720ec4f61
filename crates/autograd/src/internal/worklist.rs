//! The worklist of a backward walk: in effect a `BTreeMap` from ids to variables and their gradients.

use std::collections::BTreeMap;

use chainrule_tensor::Float;

use crate::graph::VarOf;

/// The maximum length of the list that is searched linearly.
const FEW: usize = 32;

/// Variables with the sums of their gradients so far, by id; the newest is taken first.
///
/// The newest variables are in a sorted list, which is faster than a tree for small graphs and for the most recent
/// nodes of large ones. When the list gets too long, its older half moves to a tree.
pub(crate) struct Worklist<'a, T: Float> {
    /// In ascending order of ids, all larger than those in `older`.
    newest: Vec<Entry<'a, T>>,
    older: BTreeMap<u64, Entry<'a, T>>,
}

/// A variable and the sum of its gradients so far.
struct Entry<'a, T: Float> {
    id: u64,
    var: &'a VarOf<T>,
    gradient: VarOf<T>,
}

impl<'a, T: Float> Worklist<'a, T> {
    pub(crate) fn new() -> Self {
        Self { newest: Vec::with_capacity(8), older: BTreeMap::new() }
    }

    /// Removes the newest variable and its gradient.
    pub(crate) fn pop_newest(&mut self) -> Option<(&'a VarOf<T>, VarOf<T>)> {
        let entry = self.newest.pop().or_else(|| self.older.pop_last().map(|(_, entry)| entry))?;
        Some((entry.var, entry.gradient))
    }

    /// Removes the variable with this id and its gradient.
    pub(crate) fn take(&mut self, id: u64) -> Option<(&'a VarOf<T>, VarOf<T>)> {
        let place = self.newest.iter().position(|entry| entry.id == id);
        let entry = place.map(|at| self.newest.remove(at)).or_else(|| self.older.remove(&id))?;
        Some((entry.var, entry.gradient))
    }

    /// Adds a gradient of `var`, by `add` if the variable is on the list already.
    pub(crate) fn arrive(&mut self, var: &'a VarOf<T>, gradient: VarOf<T>, add: impl FnOnce(&mut VarOf<T>, VarOf<T>)) {
        let id = var.id();
        let place = self.newest.iter().rposition(|entry| entry.id <= id);
        if let Some(entry) = place.map(|at| &mut self.newest[at]).filter(|entry| entry.id == id) {
            return add(&mut entry.gradient, gradient);
        }
        if place.is_none() && !self.older.is_empty() {
            if let Some(entry) = self.older.get_mut(&id) {
                add(&mut entry.gradient, gradient);
            } else {
                self.older.insert(id, Entry { id, var, gradient });
            }
            return;
        }
        self.newest.insert(place.map_or(0, |at| at + 1), Entry { id, var, gradient });
        if self.newest.len() > FEW {
            self.older.extend(self.newest.drain(..FEW / 2).map(|entry| (entry.id, entry)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var64;

    #[test]
    fn many_are_taken_by_id_and_from_the_newest_to_the_oldest_with_their_sums() {
        let vars: Vec<Var64> = (0..1000).map(|_| Var64::parameter("x", 0.0)).collect();
        for stride in [1, 7, 333, 999] {
            let mut worklist = Worklist::new();
            // Each variable gets two gradients, in a scattered order.
            for i in 0..2000 {
                let var = &vars[i * stride % 1000];
                worklist.arrive(var, Var64::constant((i / 1000 + 1) as f64), |sum, new| *sum = &*sum + new);
            }
            for taken in [1, 500, 998] {
                let (found, gradient) = worklist.take(vars[taken].id()).expect("all are there");
                assert_eq!((found.id(), gradient.item()), (vars[taken].id(), 3.0));
                assert!(worklist.take(vars[taken].id()).is_none());
            }
            let rest = vars.iter().enumerate().filter(|(i, _)| ![1, 500, 998].contains(i));
            for (_, var) in rest.rev() {
                let (found, gradient) = worklist.pop_newest().expect("all are there");
                assert_eq!((found.id(), gradient.item()), (var.id(), 3.0));
            }
            assert!(worklist.pop_newest().is_none());
        }
    }
}
