//! Kernels.

use crate::element::{Element, Float};
use crate::kernel::Tap;
use crate::random::Key;
use crate::shape::Shape;
use crate::shape_rules::{Conv2dOptions, Window};
use crate::tensor::TensorOf;

pub(crate) fn max<T: Element>(_x: &TensorOf<T>, _axes: &[bool]) -> TensorOf<T> {
    unimplemented!()
}

pub(crate) fn min<T: Element>(_x: &TensorOf<T>, _axes: &[bool]) -> TensorOf<T> {
    unimplemented!()
}

pub(crate) fn sum<T: Float>(_x: &TensorOf<T>, _axes: &[bool]) -> TensorOf<T> {
    unimplemented!()
}
