//! Softmax and cross-entropy: `kernels/cuda/softmax.cu`.

use chainrule_kernels::Family;

use super::strided_index::{Walk, order_of};
use crate::element::Float;
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid};
use crate::layout::Layout;
use crate::tensor::{TensorOf, address};

/// The maximum length of a line that one thread processes alone.
const SHORT: usize = 32;
/// The axis of the classes.
const CLASSES: usize = 1;

/// The variant of a kernel, by thread or by warp, and its grid.
fn choose(names: [&'static str; 2], lines: u32, length: usize) -> (&'static str, Grid) {
    let long = length > SHORT;
    (names[usize::from(long)], Grid::elements(lines as usize * if long { 32 } else { 1 }))
}

/// The elements at index 0 of an axis.
fn front(layout: &Layout, axis: usize) -> Layout {
    layout.slice(axis, 0, 1, 1).expect("the axis exists and is not empty")
}

pub(crate) fn log_softmax<T: Float>(gpu: &'static Gpu, x: &TensorOf<T>, axis: usize) -> TensorOf<T> {
    let y = gpu.tensor(x.layout().dense_like());
    if x.numel() == 0 {
        return y;
    }
    let (to, from) = (front(y.layout(), axis), front(x.layout(), axis));
    let lines = Walk::new(to.shape(), &order_of(&to), [&to, &from]);
    let length = x.shape()[axis];
    let (name, grid) = choose(["log_softmax_by_thread", "log_softmax_by_warp"], lines.numel, length);
    let step = |x: &TensorOf<T>| x.layout().strides()[axis] as i64;
    let (length, y_step, x_step) = (length as i32, step(&y), step(x));
    let arguments: [&dyn Argument; 6] = [&address(&y), &address(x), &lines, &length, &y_step, &x_step];
    // SAFETY: the walk with the steps is in bounds of both.
    unsafe { gpu.launch(Family::Softmax, (name, T::NAME), grid, arguments) };
    y
}

pub(crate) fn log_softmax_backward<T: Float>(
    gpu: &'static Gpu,
    dy: &TensorOf<T>,
    y: &TensorOf<T>,
    axis: usize,
) -> TensorOf<T> {
    let dy = gpu.operand(dy);
    let dx = gpu.tensor(y.layout().dense_like());
    if y.numel() == 0 {
        return dx;
    }
    let layouts = [dx.layout(), dy.layout(), y.layout()];
    let [to, from_dy, from_y] = layouts.map(|layout| front(layout, axis));
    let lines = Walk::new(to.shape(), &order_of(&to), [&to, &from_dy, &from_y]);
    let length = y.shape()[axis];
    let (name, grid) = choose(["log_softmax_backward_by_thread", "log_softmax_backward_by_warp"], lines.numel, length);
    let [dx_step, dy_step, y_step] = layouts.map(|layout| layout.strides()[axis] as i64);
    let length = length as i32;
    let arguments: [&dyn Argument; 8] =
        [&address(&dx), &address(&dy), &address(y), &lines, &length, &dx_step, &dy_step, &y_step];
    // SAFETY: the walk with the steps is in bounds of all three.
    unsafe { gpu.launch(Family::Softmax, (name, T::NAME), grid, arguments) };
    dx
}

/// The layout of x (N,C,…) without its classes, as a view of (N,…).
fn without_classes(layout: &Layout) -> Layout {
    let shape = layout.shape();
    let labels: Vec<usize> = shape.iter().enumerate().filter(|&(a, _)| a != CLASSES).map(|(_, &n)| n).collect();
    front(layout, CLASSES).reshape(labels.into()).expect("an axis of length 1 can be left out")
}

pub(crate) fn cross_entropy<T: Float>(gpu: &'static Gpu, x: &TensorOf<T>, labels: &TensorOf<i32>) -> [TensorOf<T>; 3] {
    let (x, labels) = (gpu.operand(x), gpu.operand(labels));
    let from = without_classes(x.layout());
    let results: [TensorOf<T>; 3] = std::array::from_fn(|_| gpu.tensor(Layout::contiguous(labels.shape())));
    let lines = Walk::new(labels.shape(), &order_of(results[0].layout()), [&from, labels.layout()]);
    let (classes, step) = (x.shape()[CLASSES], x.layout().strides()[CLASSES] as i64);
    let (name, grid) = choose(["cross_entropy_by_thread", "cross_entropy_by_warp"], lines.numel, classes);
    let ([loss, max, ln], classes, fault) = (results.each_ref().map(address), classes as i32, gpu.step_block.fault());
    let (x, labels) = (address(&x), address(&labels));
    let arguments: [&dyn Argument; 9] = [&loss, &max, &ln, &x, &labels, &lines, &classes, &step, &fault];
    // SAFETY: the walk is in bounds of x and the labels, and the results have an element for each label.
    unsafe { gpu.launch(Family::Softmax, (name, T::NAME), grid, arguments) };
    results
}

pub(crate) fn cross_entropy_backward<T: Float>(
    gpu: &'static Gpu,
    dy: &TensorOf<T>,
    x: &TensorOf<T>,
    labels: &TensorOf<i32>,
    max: &TensorOf<T>,
    ln: &TensorOf<T>,
) -> TensorOf<T> {
    let (dy, x, labels) = (gpu.operand(dy), gpu.operand(x), gpu.operand(labels).contiguous());
    let (max, ln) = (gpu.operand(max).contiguous(), gpu.operand(ln).contiguous());
    let dx = gpu.tensor(x.layout().dense_like());
    let (to, from) = (without_classes(dx.layout()), without_classes(x.layout()));
    let lines = Walk::new(labels.shape(), &order_of(labels.layout()), [&to, dy.layout(), &from]);
    let classes = x.shape()[CLASSES];
    let names = ["cross_entropy_backward_by_thread", "cross_entropy_backward_by_warp"];
    let (name, grid) = choose(names, lines.numel, classes);
    let step = |x: &TensorOf<T>| x.layout().strides()[CLASSES] as i64;
    let (classes, dx_step, x_step) = (classes as i32, step(&dx), step(&x));
    let [to, dy, x, max, ln] = [&dx, &dy, &x, &max, &ln].map(address);
    let labels = address(&labels);
    let arguments: [&dyn Argument; 10] = [&to, &dy, &x, &labels, &max, &ln, &lines, &classes, &dx_step, &x_step];
    // SAFETY: the walk is in bounds of dx, dy and x, and the others have an element for each line.
    unsafe { gpu.launch(Family::Softmax, (name, T::NAME), grid, arguments) };
    dx
}
