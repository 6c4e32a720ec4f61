//! The gradient of a bias, for linear layers and convolutions.

use chainrule_tensor::Float;

use crate::operation::{Operation, Rule};
use crate::ops::reduction::channel_sum::channels;
use crate::var::VarOf;

/// The rule of `db[o] = Σ dy[n,o,…]` as a function of dy (N,O,…).
pub(super) struct BiasGradient;

impl<T: Float> Rule<T> for BiasGradient {
    describe! {
        name: "bias gradient",
        formula: "db[o] = Σ_{n,i} dy[n,o,i]",
        derivative: "d(dy)[n,o,i] = dz[o]",
        saved: "nothing",
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let dy = op.parent(0).shape();
        vec![Some(dz.reshape(channels(dy)).broadcast_to(dy))]
    }
}
