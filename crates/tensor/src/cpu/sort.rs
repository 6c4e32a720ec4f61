//! Kernels.

use crate::element::{Element, Float};
use crate::kernel::Tap;
use crate::random::Key;
use crate::shape::Shape;
use crate::shape_rules::{Conv2dOptions, Window};
use crate::tensor::TensorOf;

pub(crate) fn argmax<T: Element>(_x: &TensorOf<T>, _axis: usize) -> TensorOf<i32> {
    unimplemented!()
}

pub(crate) fn topk<T: Element>(_x: &TensorOf<T>, _k: usize, _axis: usize) -> (TensorOf<T>, TensorOf<i32>) {
    unimplemented!()
}
