//! Kernels.

use crate::element::{Element, Float};
use crate::kernel::Tap;
use crate::random::Key;
use crate::shape::Shape;
use crate::shape_rules::{Conv2dOptions, Window};
use crate::tensor::TensorOf;

pub(crate) fn uniform<T: Float>(_key: Key, _shape: Shape) -> TensorOf<T> {
    unimplemented!()
}

pub(crate) fn normal<T: Float>(_key: Key, _shape: Shape) -> TensorOf<T> {
    unimplemented!()
}

pub(crate) fn dropout_mask<T: Float>(_key: Key, _p: f64, _shape: Shape) -> TensorOf<T> {
    unimplemented!()
}
