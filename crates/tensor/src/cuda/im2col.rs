//! A convolution's windows as columns: `kernels/cuda/image.cu`.

use chainrule_kernels::Family;

use super::images::{Images, pair};
use crate::element::Float;
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid, checked};
use crate::layout::Layout;
use crate::shape::Shape;
use crate::shape_rules::{self, Conv2dOptions};
use crate::tensor::{TensorOf, address};

/// `Windows` of the kernels.
#[repr(C)]
struct Windows {
    kernel: [i32; 2],
    out: [i32; 2],
    stride: [i32; 2],
    padding: [i32; 2],
    dilation: [i32; 2],
}

// SAFETY: the same fields of the same sizes in the same order.
unsafe impl Argument for Windows {}

impl Windows {
    fn new(x: Shape, khw: [usize; 2], options: Conv2dOptions) -> Self {
        let one = Shape::from([1, 1, khw[0], khw[1]]);
        let options = Conv2dOptions { groups: 1, ..options };
        let y = shape_rules::conv2d(x.with(1, 1), one, None, options).expect("shapes were checked");
        Self {
            kernel: pair(khw),
            out: pair([y[2], y[3]]),
            stride: pair(options.stride),
            padding: pair(options.padding),
            dilation: pair(options.dilation),
        }
    }
}

pub(crate) fn im2col<T: Float>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    khw: [usize; 2],
    options: Conv2dOptions,
) -> TensorOf<T> {
    let shape = shape_rules::im2col(x.shape(), khw, options).expect("shapes were checked");
    checked(shape.numel());
    let y = gpu.tensor(Layout::contiguous(shape));
    let windows = Windows::new(x.shape(), khw, options);
    let arguments: [&dyn Argument; 4] = [&address(&y), &address(x), &Images::of(x.layout()), &windows];
    // SAFETY: y has an element for each cell of each window, and the kernel leaves out what lies outside x.
    unsafe { gpu.launch(Family::Image, ("im2col", T::NAME), Grid::elements(shape.numel()), arguments) };
    y
}

pub(crate) fn col2im<T: Float>(
    gpu: &'static Gpu,
    dy: &TensorOf<T>,
    khw: [usize; 2],
    hw: [usize; 2],
    options: Conv2dOptions,
) -> TensorOf<T> {
    let dy = dy.contiguous();
    let shape = Shape::from([dy.shape()[0], dy.shape()[1] / (khw[0] * khw[1]), hw[0], hw[1]]);
    let dx = gpu.tensor(Layout::contiguous(shape));
    let windows = Windows::new(shape, khw, options);
    let arguments: [&dyn Argument; 4] = [&address(&dx), &address(&dy), &Images::of(dx.layout()), &windows];
    // SAFETY: dx has an element for each pixel, dy one for each cell of each window.
    unsafe { gpu.launch(Family::Image, ("col2im", T::NAME), Grid::elements(shape.numel()), arguments) };
    dx
}
