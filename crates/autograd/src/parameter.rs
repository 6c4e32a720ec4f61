//! Parameters: variables whose value can change.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use chainrule_tensor::{Float, TensorOf};

use crate::graph::{Node, Parameter, VarOf};

impl<T: Float> VarOf<T> {
    #[track_caller]
    fn cell(&self, what: &str) -> &Parameter<T> {
        match &self.0 {
            Node::Parameter(p) => p,
            _ => panic!("{what}: '{}' is not a parameter\n  rule: only parameters can be changed", self.name()),
        }
    }

    /// Renames a parameter, for example to its path within a model.
    ///
    /// # Panics
    /// If this is not a parameter.
    #[track_caller]
    pub fn rename(&self, name: impl Into<String>) {
        *self.cell("rename").name.write().unwrap_or_else(PoisonError::into_inner) = name.into();
    }

    /// Freezes or unfreezes a parameter. A frozen parameter is treated as a constant.
    ///
    /// # Panics
    /// If this is not a parameter.
    #[track_caller]
    pub fn set_frozen(&self, frozen: bool) {
        self.cell("set_frozen").frozen.store(frozen, Ordering::Relaxed);
    }

    /// Changes the value of a parameter, in place if its storage is not shared. A backward walk through operations that
    /// used the previous value is an error from then on.
    ///
    /// # Panics
    /// If this is not a parameter, or its shape changes.
    #[track_caller]
    pub fn update(&self, change: impl FnOnce(&mut TensorOf<T>)) {
        let cell = self.cell("update");
        let mut value = cell.value.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut value);
        // No other thread can change the version meanwhile: the value is locked.
        cell.version.store(cell.version.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if value.shape() == cell.shape {
            return;
        }
        let (before, after) = (cell.shape, value.shape());
        drop(value);
        panic!("update: '{}' had the shape {before} and now has {after}", self.name())
    }

    /// As [`update`](Self::update), for several parameters at once.
    ///
    /// # Panics
    /// If one is not a parameter or is listed twice, or a shape changes.
    #[track_caller]
    pub fn update_all(parameters: &[&Self], change: impl FnOnce(Vec<&mut TensorOf<T>>)) {
        // Locks are taken in the order of ids, so that two threads updating the same parameters do not deadlock.
        let mut order: Vec<usize> = (0..parameters.len()).collect();
        order.sort_by_key(|&i| parameters[i].id());
        for pair in order.windows(2) {
            let var = parameters[pair[0]];
            assert!(var.id() != parameters[pair[1]].id(), "update_all: '{}' is listed twice", var.name());
        }
        let lock =
            |i: usize| (i, parameters[i].cell("update_all").value.write().unwrap_or_else(PoisonError::into_inner));
        let mut values: Vec<_> = order.into_iter().map(lock).collect();
        values.sort_by_key(|&(i, _)| i);
        change(values.iter_mut().map(|(_, value)| &mut **value).collect());
        for (i, value) in values {
            let cell = parameters[i].cell("update_all");
            cell.version.fetch_add(1, Ordering::Relaxed);
            let (before, after) = (&cell.shape, value.shape());
            drop(value);
            assert!(
                *before == after,
                "update_all: '{}' had the shape {before} and now has {after}",
                parameters[i].name()
            );
        }
    }

    /// Sets the value of a parameter.
    ///
    /// # Panics
    /// If this is not a parameter, or its shape changes.
    #[track_caller]
    pub fn set(&self, value: &TensorOf<T>) {
        self.update(|slot| *slot = value.clone());
    }
}
