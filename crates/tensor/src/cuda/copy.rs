//! Copies and constants: `kernels/cuda/elementwise.cu`.

use super::Gpu;
use super::elementwise;
use super::launch::Argument;
use crate::device::Device;
use crate::element::Element;
use crate::layout::Layout;
use crate::shape::Shape;
use crate::tensor::TensorOf;

pub(crate) use elementwise::copy;

pub(crate) fn full<T: Element + Argument>(gpu: &'static Gpu, _: Device, shape: Shape, value: T) -> TensorOf<T> {
    elementwise::fill(gpu, Layout::contiguous(shape), value)
}
