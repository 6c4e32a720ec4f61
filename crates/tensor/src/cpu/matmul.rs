//! Kernels.

use crate::element::{Element, Float};
use crate::kernel::Tap;
use crate::random::Key;
use crate::shape::Shape;
use crate::shape_rules::{Conv2dOptions, Window};
use crate::tensor::TensorOf;

pub(crate) fn matmul<T: Float>(_a: &TensorOf<T>, _b: &TensorOf<T>) -> TensorOf<T> {
    unimplemented!()
}

pub(crate) fn linear<T: Float>(_x: &TensorOf<T>, _w: &TensorOf<T>, _b: Option<&TensorOf<T>>) -> TensorOf<T> {
    unimplemented!()
}
