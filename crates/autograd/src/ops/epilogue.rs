//! The gradient of relu in an epilogue (see [`chainrule_tensor::Epilogue`]).

use chainrule_tensor::{Binary, Float, Shape, TensorOf};

use crate::graph::VarOf;
use crate::ops::linear_map::{LinearMap, Text, linear};

/// dy where y > 0, else 0, as an op: linear in dy, with a zero derivative with respect to y. Without y, returns dy.
pub(super) fn gated<T: Float>(dy: &VarOf<T>, y: Option<&TensorOf<T>>) -> VarOf<T> {
    match y {
        None => dy.clone(),
        Some(y) => linear(dy, dy.value().binary(Binary::ReluBackward, y), Gate { y: y.clone() }),
    }
}

/// The map from dy to the gradient before the relu.
#[derive(Clone)]
pub(super) struct Gate<T: Float> {
    pub(super) y: TensorOf<T>,
}

impl<T: Float> LinearMap<T> for Gate<T> {
    const TEXTS: [Text; 2] = texts! {
        "relu epilogue backward": "g = dy where y > 0, else 0" => "d(dy) = dz where y > 0, else 0", saves "y";
        "relu epilogue backward": "g = dy where y > 0, else 0" => "d(dy) = dz where y > 0, else 0", saves "y";
    };
    fn apply(&self, dy: &TensorOf<T>, _g: Shape) -> TensorOf<T> {
        dy.binary(Binary::ReluBackward, &self.y)
    }
    fn adjoint(&self, dz: &TensorOf<T>, dy: Shape) -> TensorOf<T> {
        self.apply(dz, dy)
    }
}
