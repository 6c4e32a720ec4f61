//! Kernels.

use crate::element::{Element, Float};
use crate::kernel::Tap;
use crate::random::Key;
use crate::shape::Shape;
use crate::shape_rules::{Conv2dOptions, Window};
use crate::tensor::TensorOf;

pub(crate) fn gather<T: Element>(_x: &TensorOf<T>, _axis: usize, _index: &TensorOf<i32>) -> TensorOf<T> {
    unimplemented!()
}

pub(crate) fn scatter_add<T: Float>(
    _x: &TensorOf<T>,
    _axis: usize,
    _index: &TensorOf<i32>,
    _shape: Shape,
) -> TensorOf<T> {
    unimplemented!()
}
