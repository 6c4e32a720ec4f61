//! im2col and its adjoint, col2im: `kernels/cuda/image.cu`.

use chainrule_kernels::Family;

use super::images::{Images, pair};
use crate::element::Float;
use crate::geometry::ConvGeometry;
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid, checked};
use crate::layout::Layout;
use crate::shape::Shape;
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
    fn new(conv: &ConvGeometry) -> Self {
        let options = conv.options();
        Self {
            kernel: pair(conv.khw()),
            out: pair(conv.ohw()),
            stride: pair(options.stride),
            padding: pair(options.padding),
            dilation: pair(options.dilation),
        }
    }
}

pub(crate) fn im2col<T: Float>(gpu: &'static Gpu, x: &TensorOf<T>, conv: &ConvGeometry) -> TensorOf<T> {
    let (x_shape, [kh, kw], [oh, ow]) = (x.shape(), conv.khw(), conv.ohw());
    let shape = Shape::from([x_shape[0], x_shape[1] * kh * kw, oh * ow]);
    checked(shape.numel());
    let y = gpu.tensor(Layout::contiguous(shape));
    let windows = Windows::new(conv);
    let arguments: [&dyn Argument; 4] = [&address(&y), &address(x), &Images::of(x.layout()), &windows];
    // SAFETY: y has an element for each cell of each window, and the kernel reads nothing outside x.
    unsafe { gpu.launch(Family::Image, ("im2col", T::NAME), Grid::elements(shape.numel()), arguments) };
    y
}

pub(crate) fn col2im<T: Float>(gpu: &'static Gpu, dy: &TensorOf<T>, conv: &ConvGeometry) -> TensorOf<T> {
    let (dy, shape) = (dy.contiguous(), conv.x());
    let dx = gpu.tensor(Layout::contiguous(shape));
    let windows = Windows::new(conv);
    let arguments: [&dyn Argument; 4] = [&address(&dx), &address(&dy), &Images::of(dx.layout()), &windows];
    // SAFETY: dx has an element for each pixel, dy one for each cell of each window.
    unsafe { gpu.launch(Family::Image, ("col2im", T::NAME), Grid::elements(shape.numel()), arguments) };
    dx
}
