//! Observers of a backward walk.

use chainrule_tensor::Float;

use crate::graph::{Operation, VarOf};

/// Receives the events of a backward walk.
pub trait Observer<T: Float> {
    /// The rule of an operation has run on `dy` and returned `gradients` for the parents. For one that was
    /// [recomputed](crate::recompute), this is called for the operations in it.
    fn node_done(&mut self, op: &Operation<T>, dy: &VarOf<T>, gradients: &[Option<VarOf<T>>]) {
        let _ = (op, dy, gradients);
    }

    /// The gradient of a parameter is complete.
    fn gradient_final(&mut self, parameter: &VarOf<T>, gradient: &VarOf<T>) {
        let _ = (parameter, gradient);
    }
}

/// An observer that ignores all events.
pub(crate) struct Nobody;
impl<T: Float> Observer<T> for Nobody {}
