//! Kernels.

use crate::element::{Element, Float};
use crate::kernel::Tap;
use crate::random::Key;
use crate::shape::Shape;
use crate::shape_rules::{Conv2dOptions, Window};
use crate::tensor::TensorOf;

pub(crate) fn conv2d<T: Float>(
    _x: &TensorOf<T>,
    _w: &TensorOf<T>,
    _b: Option<&TensorOf<T>>,
    _options: Conv2dOptions,
) -> TensorOf<T> {
    unimplemented!()
}

pub(crate) fn input_gradient<T: Float>(
    dy: &TensorOf<T>,
    w: &TensorOf<T>,
    hw: [usize; 2],
    options: Conv2dOptions,
) -> TensorOf<T> {
    unimplemented!()
}
pub(crate) fn weight_gradient<T: Float>(
    x: &TensorOf<T>,
    dy: &TensorOf<T>,
    khw: [usize; 2],
    options: Conv2dOptions,
) -> TensorOf<T> {
    unimplemented!()
}
