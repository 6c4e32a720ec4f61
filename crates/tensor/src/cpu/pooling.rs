//! Kernels.

use crate::element::{Element, Float};
use crate::kernel::Tap;
use crate::random::Key;
use crate::shape::Shape;
use crate::shape_rules::{Conv2dOptions, Window};
use crate::tensor::TensorOf;

pub(crate) fn gather2d<T: Float>(_x: &TensorOf<T>, _index: &TensorOf<i32>) -> TensorOf<T> {
    unimplemented!()
}

pub(crate) fn max_pool<T: Float>(x: &TensorOf<T>, windows: &[Vec<Window>; 2]) -> (TensorOf<T>, TensorOf<i32>) {
    unimplemented!()
}
pub(crate) fn scatter2d<T: Float>(dy: &TensorOf<T>, index: &TensorOf<i32>, hw: [usize; 2]) -> TensorOf<T> {
    unimplemented!()
}
pub(crate) fn avg_pool<T: Float>(x: &TensorOf<T>, windows: &[Vec<Window>; 2]) -> TensorOf<T> {
    unimplemented!()
}
pub(crate) fn avg_pool_adjoint<T: Float>(dy: &TensorOf<T>, windows: &[Vec<Window>; 2], hw: [usize; 2]) -> TensorOf<T> {
    unimplemented!()
}
