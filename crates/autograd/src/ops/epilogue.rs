//! The gradient of relu in an epilogue (see [`chainrule_tensor::Epilogue`]).

use chainrule_tensor::{Binary, Float, TensorOf};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

/// dy where y > 0, else 0, as an op: linear in dy, with a zero derivative with respect to y. Without y, returns dy.
pub(super) fn gated<T: Float>(dy: &VarOf<T>, y: Option<&TensorOf<T>>) -> VarOf<T> {
    let Some(y) = y else { return dy.clone() };
    VarOf::record(dy.value().binary(Binary::ReluBackward, y), [dy], Gate { y: y.clone() })
}

/// The rule of dz as a function of dy.
pub(super) struct Gate<T: Float> {
    pub(super) y: TensorOf<T>,
}

impl<T: Float> Rule<T> for Gate<T> {
    describe! {
        name: "relu epilogue backward",
        formula: "g = dy where y > 0, else 0",
        derivative: "d(dy) = dz where y > 0, else 0",
        saved: "y",
    }
    fn backward(&self, _op: &Operation<T>, du: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(gated(du, Some(&self.y)))]
    }
}
