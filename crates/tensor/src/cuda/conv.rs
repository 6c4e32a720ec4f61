//! Convolutions: on the tensor cores where supported, else by `kernels/cuda/product.cu`.
//!
//! Images keep their memory format. Channels-last is the fast one: adjacent threads read adjacent channels.

use chainrule_kernels::Family;

use super::elementwise;
use super::images::{Sizes, format_like};
use super::pooling;
use super::split_k::{TILE, add_splits, split_count, tiles};
use super::tensor_core::{self, Plan};
use crate::element::Float;
use crate::geometry::ConvGeometry;
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, checked};
use crate::kernel::{Epilogue, PoolIndices, Unary};
use crate::layout::Layout;
use crate::memory_format::MemoryFormat;
use crate::shape::Shape;
use crate::shape_rules::Window;
use crate::tensor::{TensorOf, address};

/// `Convolution` of `product.cu`.
#[repr(C)]
struct Convolution {
    sizes: Sizes,
    x: [i64; 4],
    weight: [i64; 4],
    y: [i64; 4],
}

// SAFETY: the same fields of the same sizes in the same order; the 64-bit ones begin at a multiple of 8 on both sides.
unsafe impl Argument for Convolution {}

fn strides(layout: &Layout) -> [i64; 4] {
    std::array::from_fn(|axis| layout.strides()[axis] as i64)
}

impl Convolution {
    /// The convolution of x (N,C,H,W) with w (O,C/groups,kh,kw) to y (N,O,oh,ow).
    fn new(x: &Layout, w: &Layout, y: &Layout, conv: &ConvGeometry) -> Self {
        for layout in [x, w, y] {
            checked(layout.numel());
        }
        Self { sizes: Sizes::new(conv), x: strides(x), weight: strides(w), y: strides(y) }
    }
}

pub(crate) fn conv2d<T: Float>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    w: &TensorOf<T>,
    b: Option<&TensorOf<T>>,
    conv: &ConvGeometry,
    epilogue: Epilogue<'_, TensorOf<T>>,
) -> TensorOf<T> {
    let (x, w, b) = (gpu.operand(x), gpu.operand(w), b.map(|b| gpu.operand(b)));
    let (out, groups) = (conv.y(), conv.options().groups);
    if let Some(plan) = Plan::new::<T>(gpu, conv) {
        let mut y = plan.tensor(gpu, out[1], MemoryFormat::ChannelsLast.layout(out));
        let operands = [&plan.images(gpu, &x), &plan.images(gpu, &w)];
        tensor_core::forward(gpu, &mut y, operands, b.as_ref(), &plan, epilogue.channel_stats);
        return finish(gpu, y, epilogue);
    }
    // A single input channel has no memory format; with several output channels, channels-last is faster.
    let layout = match x.shape()[1] {
        1 => MemoryFormat::ChannelsLast.layout(out),
        _ => format_like(x.layout(), [out[0], out[1], out[2], out[3]]),
    };
    let y = gpu.tensor(layout);
    let s = Convolution::new(x.layout(), w.layout(), y.layout(), conv);
    let grid = tiles([out[0] * out[2] * out[3], out[1] / groups], groups, 1);
    let bias_stride = b.as_ref().map_or(0, |b| b.layout().strides()[0] as i64);
    let (to, from, weight, bias) = (address(&y), address(&x), address(&w), b.as_ref().map_or(0, address));
    let arguments: [&dyn Argument; 6] = [&to, &from, &weight, &bias, &s, &bias_stride];
    // SAFETY: shapes were checked, all strides are in bounds, and the grid covers y.
    unsafe { gpu.launch(Family::Product, ("conv2d", T::NAME), grid, arguments) };
    finish(gpu, y, epilogue)
}

/// Residual and relu as separate passes.
fn finish<T: Float>(gpu: &'static Gpu, mut y: TensorOf<T>, epilogue: Epilogue<'_, TensorOf<T>>) -> TensorOf<T> {
    if let Some(residual) = epilogue.residual {
        elementwise::add_assign(gpu, &mut y, residual);
    }
    if epilogue.relu { elementwise::unary(gpu, Unary::Relu, &y) } else { y }
}

pub(crate) fn input_gradient<T: Float>(
    gpu: &'static Gpu,
    dy: &TensorOf<T>,
    w: &TensorOf<T>,
    conv: &ConvGeometry,
) -> TensorOf<T> {
    let (dy, w) = (gpu.operand(dy), gpu.operand(w));
    let shape = conv.x();
    if let Some(plan) = Plan::new::<T>(gpu, conv) {
        let dx = plan.tensor(gpu, shape[1], MemoryFormat::ChannelsLast.layout(shape));
        tensor_core::input_gradient(gpu, &dx, [&plan.images(gpu, &dy), &plan.images(gpu, &w)], &plan);
        return dx;
    }
    let dx = gpu.tensor(format_like(dy.layout(), [shape[0], shape[1], shape[2], shape[3]]));
    let s = Convolution::new(dx.layout(), w.layout(), dy.layout(), conv);
    let grid = tiles([shape[0] * shape[2] * shape[3], w.shape()[1]], conv.options().groups, 1);
    let arguments: [&dyn Argument; 4] = [&address(&dx), &address(&dy), &address(&w), &s];
    // SAFETY: shapes were checked, all strides are in bounds, and the grid covers dx.
    unsafe { gpu.launch(Family::Product, ("conv2d_input_gradient", T::NAME), grid, arguments) };
    dx
}

pub(crate) fn parameter_gradients<T: Float>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    dy: &TensorOf<T>,
    conv: &ConvGeometry,
    [for_w, for_b]: [bool; 2],
) -> [Option<TensorOf<T>>; 2] {
    let (dw, sums) = for_w.then(|| weight_gradient(gpu, x, dy, conv, for_b)).unzip();
    let db = for_b.then(|| sums.flatten().unwrap_or_else(|| dy.sum(&[0, 2, 3], false)));
    [dw, db]
}

/// The gradient of the weight and, if requested and a by-product of the kernel, the sum of each channel of dy.
fn weight_gradient<T: Float>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    dy: &TensorOf<T>,
    conv: &ConvGeometry,
    sums: bool,
) -> (TensorOf<T>, Option<TensorOf<T>>) {
    let (x, dy) = (gpu.operand(x), gpu.operand(dy));
    let (shape, groups) = (conv.w(), conv.options().groups);
    // The kernel writes dw with the channel as its innermost axis.
    let dw = gpu.tensor::<T>(MemoryFormat::ChannelsLast.layout(shape));
    if let Some(plan) = Plan::new::<T>(gpu, conv) {
        let sums = tensor_core::weight_gradient(gpu, &dw, [&plan.images(gpu, &dy), &plan.images(gpu, &x)], &plan, sums);
        return (dw, sums);
    }
    let columns = shape[1] * shape[2] * shape[3];
    let terms = dy.shape()[0] * dy.shape()[2] * dy.shape()[3];
    if terms == 0 || columns == 0 {
        return (T::full(gpu.device(), shape, T::ZERO), None);
    }
    let rows = shape[0] / groups;
    let splits = split_count(rows.div_ceil(TILE) * columns.div_ceil(TILE) * groups, terms);
    let partial = (splits > 1).then(|| gpu.tensor::<T>(Layout::contiguous(Shape::from([splits, shape.numel()]))));
    let s = Convolution::new(x.layout(), dw.layout(), dy.layout(), conv);
    let (to, count) = (address(partial.as_ref().unwrap_or(&dw)), splits as i32);
    let arguments: [&dyn Argument; 5] = [&to, &address(&x), &address(&dy), &s, &count];
    // SAFETY: shapes were checked, all strides are in bounds, and the grid covers dw for each split.
    unsafe {
        let grid = tiles([rows, columns], groups, splits);
        gpu.launch(Family::Product, ("conv2d_weight_gradient", T::NAME), grid, arguments);
    }
    if let Some(partial) = partial {
        add_splits(gpu, &dw, None, &partial, (0, 0, 1));
    }
    (dw, None)
}

pub(crate) fn conv2d_relu_max_pool<T: Float>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    w: &TensorOf<T>,
    b: Option<&TensorOf<T>>,
    conv: &ConvGeometry,
    windows: &[Vec<Window>; 2],
) -> (TensorOf<T>, PoolIndices) {
    pooling::relu_max_pool(gpu, &conv2d(gpu, x, w, b, conv, Epilogue::NONE), windows)
}

pub(crate) fn conv2d_relu_max_pool_backward<T: Float>(
    gpu: &'static Gpu,
    [x, w, dy]: [&TensorOf<T>; 3],
    indices: &PoolIndices,
    conv: &ConvGeometry,
    [for_x, for_w, for_b]: [bool; 3],
) -> [Option<TensorOf<T>>; 3] {
    let dy = pooling::scatter2d(gpu, dy, indices, conv.ohw());
    let dx = for_x.then(|| input_gradient(gpu, &dy, w, conv));
    let [dw, db] = parameter_gradients(gpu, x, &dy, conv, [for_w, for_b]);
    [dx, dw, db]
}
