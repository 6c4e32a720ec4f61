//! The largest elements along an axis: `kernels/cuda/reduce.cu`.

use chainrule_kernels::Family;

use super::strided_index::{Walk, order_of};
use crate::element::Element;
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid};
use crate::layout::Layout;
use crate::tensor::{TensorOf, address};

pub(crate) fn argmax<T: Element>(gpu: &'static Gpu, x: &TensorOf<T>, axis: usize) -> TensorOf<i32> {
    let indices = gpu.tensor(Layout::contiguous(x.shape().with(axis, 1)));
    largest(gpu, None, &indices, x, 1, axis);
    indices
}

pub(crate) fn topk<T: Element>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    k: usize,
    axis: usize,
) -> (TensorOf<T>, TensorOf<i32>) {
    let layout = Layout::contiguous(x.shape().with(axis, k));
    let (values, indices) = (gpu.tensor(layout), gpu.tensor(layout));
    if layout.numel() > 0 {
        largest(gpu, Some(&values), &indices, x, k, axis);
    }
    (values, indices)
}

fn largest<T: Element>(
    gpu: &'static Gpu,
    values: Option<&TensorOf<T>>,
    indices: &TensorOf<i32>,
    x: &TensorOf<T>,
    k: usize,
    axis: usize,
) {
    let front = |layout: &Layout| layout.slice(axis, 0, 1, 1).expect("the axis exists and is not empty");
    let step = |layout: &Layout| layout.strides()[axis] as i64;
    let layouts = [values.map_or(indices.layout(), TensorOf::layout), indices.layout(), x.layout()];
    let [to, to_indices, from] = layouts.map(front);
    let lines = Walk::new(from.shape(), &order_of(&from), [&to, &to_indices, &from]);
    let [values_step, indices_step, x_step] = layouts.map(step);
    let (length, k, to) = (x.shape()[axis] as i32, k as i32, values.map_or(0, address));
    let arguments: [&dyn Argument; 9] =
        [&to, &address(indices), &address(x), &lines, &length, &x_step, &k, &values_step, &indices_step];
    // SAFETY: the results have k elements for each line of x, and the walk is in bounds of all three.
    unsafe { gpu.launch(Family::Reduce, ("topk", T::NAME), Grid::elements(lines.numel as usize), arguments) }
}
