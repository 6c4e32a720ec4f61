//! Convolution and its two adjoints.
//!
//! There are three algorithms. The direct one copies images into padded planes, in which every cell of the kernel reads
//! contiguous pixels (`axis`, `planes`). The convolution and its adjoint in the input are then the same operation, a
//! correlation (`direct`), and the adjoint in the weight is a set of dot products (`weight`); the innermost loops of both
//! are in `tile`. For many channels Winograd's algorithm is used (`winograd`), for strides and small images blocks of the
//! im2col matrix (`im2col`, `im2col_block`).

mod axis;
mod blocks;
mod direct;
mod im2col;
mod im2col_block;
mod planes;
mod pooled;

pub(crate) use blocks::parameter_gradients;
pub(crate) use pooled::{conv2d_relu_max_pool, conv2d_relu_max_pool_backward};
#[cfg(test)]
mod tests;
mod tile;
mod weight;
mod winograd;

use axis::Axis;
use direct::Correlation;
use im2col::Im2col;
use planes::Images;
use weight::WeightGradient;

use crate::cpu::{elementwise, images};
use crate::element::Float;
use crate::geometry::ConvGeometry;
use crate::kernel::{Epilogue, Unary};
use crate::layout::Layout;
use crate::parallel::{Disjoint, is_shared, parallel_for};
use crate::shape::Shape;
use crate::shape_rules::Conv2dOptions;
use crate::tensor::TensorOf;

/// The minimum number of multiplications per task.
const GRAIN: usize = 1 << 18;
/// The minimum number of tasks: if other threads take part, enough to give all of them work even for few images.
fn min_tasks() -> usize {
    if is_shared() { 1 } else { 8 }
}

/// The bytes of a task's planes: a part of the L2 cache.
const BLOCK_BYTES: usize = 256 << 10;

/// The axes of the convolution, vertical and horizontal.
fn forward_axes(ohw: &[usize], khw: &[usize], options: Conv2dOptions) -> [Axis; 2] {
    let Conv2dOptions { stride, padding, dilation, .. } = options;
    std::array::from_fn(|i| Axis::forward(ohw[i], khw[i], stride[i], padding[i], dilation[i]))
}

/// Adds the chunks of `len` elements of `parts` pairwise: adjacent chunks first, then adjacent sums. The order depends on
/// the number of chunks alone. The sum is stored in the first chunk.
fn add_pairwise<T: Float>(parts: &mut [T], len: usize) {
    let chunks = parts.len() / len.max(1);
    let mut step = 1;
    while step < chunks {
        for chunk in (0..chunks - step).step_by(2 * step) {
            let (left, right) = parts.split_at_mut((chunk + step) * len);
            let (left, right) = (Disjoint::new(&mut left[chunk * len..][..len]), &right[..len]);
            parallel_for(len, 1 << 14, |range| {
                // SAFETY: ranges do not overlap.
                for (a, b) in unsafe { left.slice(range.clone()) }.iter_mut().zip(&right[range]) {
                    *a += *b;
                }
            });
        }
        step *= 2;
    }
}

/// An uninitialized workspace from the buffer pool.
fn scratch<T: Float>(len: usize) -> TensorOf<T> {
    TensorOf::uninitialized(Layout::contiguous(len.into()))
}

/// The layout of a result with the memory format of `x`.
fn formatted<T: Float>(x: &TensorOf<T>, shape: Shape) -> Layout {
    images::Images::new(x.layout()).formatted(shape)
}

/// A function that reads the weight at an index.
fn reader<T: Float>(w: &TensorOf<T>) -> impl Fn([usize; 4]) -> T {
    let (buffer, layout) = (w.buffer(), *w.layout());
    move |index| buffer[layout.position(&index)]
}

/// On the CPU, `epilogue.channel_stats` has no effect: batch normalization computes the sums in its own first pass.
pub(crate) fn conv2d<T: Float>(
    x: &TensorOf<T>,
    w: &TensorOf<T>,
    b: Option<&TensorOf<T>>,
    conv: &ConvGeometry,
    epilogue: Epilogue<'_, TensorOf<T>>,
) -> TensorOf<T> {
    let mut y = convolve(x, w, b, conv);
    if let Some(residual) = epilogue.residual {
        elementwise::add_assign(&mut y, residual);
    }
    if epilogue.relu { elementwise::unary(Unary::Relu, &y) } else { y }
}

fn convolve<T: Float>(x: &TensorOf<T>, w: &TensorOf<T>, b: Option<&TensorOf<T>>, conv: &ConvGeometry) -> TensorOf<T> {
    let (shape, options) = (conv.y(), conv.options());
    let mut y = TensorOf::uninitialized(formatted(x, shape));
    if winograd::applies::<T>(w.shape(), options, shape) {
        winograd::Correlation { x, w, adjoint: false, bias: b, padding: options.padding }.write(&mut y);
        return y;
    }
    if im2col::applies(w.shape(), options, shape) {
        let (buffer, layout) = y.buffer_mut();
        Im2col::new(x.layout(), w.shape(), &layout, options).forward(x.buffer(), w, b, buffer);
        return y;
    }
    let [vertical, horizontal] = forward_axes(&shape[2..], &w.shape()[2..], options);
    let weight = reader(w);
    let (buffer, layout) = y.buffer_mut();
    Correlation {
        x: Images::new(x),
        axes: [&vertical, &horizontal],
        images: shape[0],
        groups: options.groups,
        channels: w.shape()[1],
        outputs: shape[1] / options.groups,
        weight: |o, c, p, q| weight([o, c, p, q]),
        bias: b,
    }
    .write(&Disjoint::new(buffer), &layout);
    y
}

pub(crate) fn input_gradient<T: Float>(dy: &TensorOf<T>, w: &TensorOf<T>, conv: &ConvGeometry) -> TensorOf<T> {
    let (shape, hw, options) = (conv.x(), conv.hw(), conv.options());
    let Conv2dOptions { stride, padding, dilation, groups } = options;
    let (channels, outputs) = (w.shape()[1], w.shape()[0] / groups);
    let mut dx = TensorOf::uninitialized(formatted(dy, shape));
    if winograd::applies::<T>(w.shape(), options, shape) {
        // The adjoint of a convolution with padding p is one with padding 2 − p and the rotated kernel.
        winograd::Correlation { x: dy, w, adjoint: true, bias: None, padding: padding.map(|p| 2 - p) }.write(&mut dx);
        return dx;
    }
    if im2col::applies(w.shape(), options, dy.shape()) {
        let (buffer, layout) = dx.buffer_mut();
        Im2col::new(&layout, w.shape(), dy.layout(), options).input_gradient(dy.buffer(), w, buffer);
        return dx;
    }
    let [rows, columns]: [Vec<Axis>; 2] =
        std::array::from_fn(|i| Axis::adjoint(hw[i], w.shape()[2 + i], stride[i], padding[i], dilation[i]));
    let weight = reader(w);
    let (buffer, layout) = dx.buffer_mut();
    let out = Disjoint::new(buffer);
    for vertical in &rows {
        for horizontal in &columns {
            Correlation {
                x: Images::new(dy),
                axes: [vertical, horizontal],
                images: shape[0],
                groups,
                channels: outputs,
                outputs: channels,
                weight: |c, o, p, q| weight([c / channels * outputs + o, c % channels, p, q]),
                bias: None,
            }
            .write(&out, &layout);
        }
    }
    dx
}

fn weight_gradient<T: Float>(x: &TensorOf<T>, dy: &TensorOf<T>, conv: &ConvGeometry) -> TensorOf<T> {
    let (shape, options) = (conv.w(), conv.options());
    let mut dw = TensorOf::uninitialized(Layout::contiguous(shape));
    if winograd::applies::<T>(shape, options, dy.shape()) {
        winograd::weight_gradient([x, dy], options.padding, dw.buffer_mut().0);
        return dw;
    }
    if im2col::applies(shape, options, dy.shape()) {
        Im2col::new(x.layout(), shape, dy.layout(), options).weight_gradient(
            x.buffer(),
            dy.buffer(),
            dw.buffer_mut().0,
        );
        return dw;
    }
    let ohw = &conv.ohw();
    let [vertical, horizontal] = forward_axes(ohw, &conv.khw(), options);
    // dy has the same pitch as x, with zeros where a row of x has no pixel of dy.
    let [dy_vertical, dy_horizontal] = forward_axes(ohw, &[1, 1], Conv2dOptions::default());
    let dy_horizontal = Axis { reach: horizontal.reach, ..dy_horizontal };
    WeightGradient::new([x, dy], [&vertical, &horizontal], [&dy_vertical, &dy_horizontal], options.groups)
        .write(dw.buffer_mut().0);
    dw
}
