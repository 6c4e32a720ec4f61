//! Kernels.

use crate::element::{Element, Float};
use crate::kernel::Tap;
use crate::random::Key;
use crate::shape::Shape;
use crate::shape_rules::{Conv2dOptions, Window};
use crate::tensor::TensorOf;

pub(crate) fn log_softmax<T: Float>(_x: &TensorOf<T>, _axis: usize) -> TensorOf<T> {
    unimplemented!()
}

pub(crate) fn log_softmax_backward<T: Float>(_dy: &TensorOf<T>, _y: &TensorOf<T>, _axis: usize) -> TensorOf<T> {
    unimplemented!()
}
