//! Kernels.
use crate::element::{Element, Float};
use crate::kernel::Tap;
use crate::shape_rules::{Conv2dOptions, Window};
use crate::tensor::TensorOf;

pub(crate) fn resample<T: Float>(x: &TensorOf<T>, taps: &[Vec<Tap>; 2]) -> TensorOf<T> {
    unimplemented!()
}
pub(crate) fn adjoint<T: Float>(dy: &TensorOf<T>, taps: &[Vec<Tap>; 2], hw: [usize; 2]) -> TensorOf<T> {
    unimplemented!()
}
