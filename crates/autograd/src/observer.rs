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

    /// Whether [`gradient_final`](Self::gradient_final) is wanted as early as possible: after the last operation that uses the
    /// parameter, so that what is done with the gradient overlaps with the rest of the walk. That takes one more pass over the
    /// graph. Otherwise gradients of parameters, which are older than all operations, are final at the end of the walk.
    fn is_eager(&self) -> bool {
        false
    }

    /// The gradient of a parameter is complete.
    fn gradient_final(&mut self, parameter: &VarOf<T>, gradient: &VarOf<T>) {
        let _ = (parameter, gradient);
    }
}

/// An observer that ignores all events.
pub(crate) struct Nobody;
impl<T: Float> Observer<T> for Nobody {}
