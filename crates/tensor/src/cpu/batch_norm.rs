//! Kernels.

use crate::element::{Element, Float};
use crate::kernel::Tap;
use crate::random::Key;
use crate::shape::Shape;
use crate::shape_rules::{Conv2dOptions, Window};
use crate::tensor::TensorOf;

pub(crate) fn statistics<T: Float>(_x: &TensorOf<T>) -> (TensorOf<T>, TensorOf<T>) {
    unimplemented!()
}

pub(crate) fn apply<T: Float>(
    _x: &TensorOf<T>,
    _mean: &TensorOf<T>,
    _scale: &TensorOf<T>,
    _shift: &TensorOf<T>,
) -> TensorOf<T> {
    unimplemented!()
}

pub(crate) fn backward<T: Float>(
    _dy: &TensorOf<T>,
    _x: &TensorOf<T>,
    _mean: &TensorOf<T>,
    _istd: &TensorOf<T>,
    _gamma: &TensorOf<T>,
) -> (TensorOf<T>, TensorOf<T>, TensorOf<T>) {
    unimplemented!()
}
