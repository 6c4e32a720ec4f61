//! Indexing along an axis: `kernels/cuda/reduce.cu`.

use chainrule_kernels::Family;

use super::strided_index::Walk;
use crate::element::{Element, Float};
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid};
use crate::layout::Layout;
use crate::shape::Shape;
use crate::tensor::{TensorOf, address};

pub(crate) fn gather<T: Element>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    axis: usize,
    index: &TensorOf<i32>,
) -> TensorOf<T> {
    let (x, index) = (gpu.operand(x), gpu.operand(index));
    let y = gpu.tensor(Layout::contiguous(index.shape()));
    let strides = |a: usize| [if a == axis { 0 } else { x.layout().strides()[a] }, index.layout().strides()[a]];
    let walk = Walk::of_axes((0..y.rank()).map(|a| (y.shape()[a], strides(a))));
    let (step, length) = (x.layout().strides()[axis] as i64, x.shape()[axis] as i32);
    let fault = gpu.step_block.fault();
    let arguments: [&dyn Argument; 7] = [&address(&y), &address(&x), &address(&index), &walk, &step, &length, &fault];
    // SAFETY: y has an element for each index, and the kernel skips indices that are out of range of x.
    unsafe { gpu.launch(Family::Reduce, ("gather", T::NAME), Grid::elements(walk.numel as usize), arguments) };
    y
}

pub(crate) fn scatter_add<T: Float>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    axis: usize,
    index: &TensorOf<i32>,
    shape: Shape,
) -> TensorOf<T> {
    let (x, index) = (gpu.operand(x), gpu.operand(index));
    let y = gpu.tensor(Layout::contiguous(shape));
    let layouts = [y.layout(), x.layout(), index.layout()];
    let others = (0..shape.rank()).filter(|&a| a != axis);
    let lines = Walk::of_axes(others.map(|a| (shape[a], layouts.map(|layout| layout.strides()[a]))));
    let [y_step, x_step, index_step] = layouts.map(|layout| layout.strides()[axis] as i64);
    let (y_length, x_length, fault) = (shape[axis] as i32, x.shape()[axis] as i32, gpu.step_block.fault());
    let (to, from, places) = (address(&y), address(&x), address(&index));
    let arguments: [&dyn Argument; 10] =
        [&to, &from, &places, &lines, &y_step, &y_length, &x_step, &index_step, &x_length, &fault];
    // SAFETY: the walk with the steps is in bounds of all three, and the kernel skips indices that are out of range of y.
    unsafe { gpu.launch(Family::Reduce, ("scatter_add", T::NAME), Grid::elements(lines.numel as usize), arguments) };
    y
}
