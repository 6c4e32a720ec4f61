//! Watching a backward walk.

use chainrule_tensor::Float;

use crate::operation::Operation;
use crate::var::VarOf;

/// Watches a backward walk.
pub trait Observer<T: Float> {
    /// An operation's rule has run: `dy` came in, `gradients` go to its parents.
    fn node_done(&mut self, op: &Operation<T>, dy: &VarOf<T>, gradients: &[Option<VarOf<T>>]) {
        let _ = (op, dy, gradients);
    }

    /// A parameter's gradient is complete.
    fn gradient_final(&mut self, parameter: &VarOf<T>, gradient: &VarOf<T>) {
        let _ = (parameter, gradient);
    }
}

/// Watches nothing.
pub(crate) struct Nobody;
impl<T: Float> Observer<T> for Nobody {}
