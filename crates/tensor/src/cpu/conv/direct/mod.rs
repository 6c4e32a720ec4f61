//! Direct convolution, for few channels: images are copied into padded planes, in which every cell of the kernel reads contiguous
//! pixels (`axis`, `planes`). The convolution and its adjoint in the input are then the same operation, a correlation
//! (`correlation`), and the adjoint in the weight is a set of dot products (`weight`); the innermost loops of both are in `tile`.

mod axis;
mod correlation;
mod planes;
mod tile;
mod weight;

use axis::Axis;
use correlation::{Correlation, Sink};
use planes::Images;
use weight::WeightGradient;

use super::{add_pairwise, scratch};
use crate::element::Float;
use crate::geometry::ConvGeometry;
use crate::parallel::{Disjoint, is_shared};
use crate::shape_rules::Conv2dOptions;
use crate::tensor::TensorOf;

/// The minimum number of multiplications per task.
const GRAIN: usize = 1 << 18;
/// The bytes of a task's planes: a part of the L2 cache.
const BLOCK_BYTES: usize = 256 << 10;

/// The minimum number of tasks: if other threads take part, enough to give all of them work even for few images.
fn min_tasks() -> usize {
    if is_shared() { 1 } else { 8 }
}

/// The axes of the convolution, vertical and horizontal.
fn forward_axes(ohw: &[usize], khw: &[usize], options: Conv2dOptions) -> [Axis; 2] {
    let Conv2dOptions { stride, padding, dilation, .. } = options;
    std::array::from_fn(|i| Axis::forward(ohw[i], khw[i], stride[i], padding[i], dilation[i]))
}

/// The strides of the weight (O,C/groups,kh,kw).
fn axis_strides<T: Float>(w: &TensorOf<T>) -> [isize; 4] {
    let s = w.layout().strides();
    [s[0], s[1], s[2], s[3]]
}

pub(super) fn convolve<T: Float>(
    x: &TensorOf<T>,
    w: &TensorOf<T>,
    b: Option<&TensorOf<T>>,
    conv: &ConvGeometry,
    y: &mut TensorOf<T>,
) {
    let (buffer, layout) = y.buffer_mut();
    forward(x, w, b, conv, Sink::Pixels(&Disjoint::new(buffer), &layout));
}

/// relu and the maximum of each 2×2 window of what is used of the convolution, and the index of the maximum, both contiguous.
pub(super) fn convolve_relu_max_pool<T: Float>(
    x: &TensorOf<T>,
    w: &TensorOf<T>,
    b: Option<&TensorOf<T>>,
    conv: &ConvGeometry,
    (y, index): (&mut TensorOf<T>, &mut TensorOf<i32>),
) {
    let (y, index) = (&Disjoint::new(y.buffer_mut().0), &Disjoint::new(index.buffer_mut().0));
    forward(x, w, b, conv, Sink::Maxima { y, index, width: conv.ohw()[1] });
}

fn forward<T: Float>(x: &TensorOf<T>, w: &TensorOf<T>, b: Option<&TensorOf<T>>, conv: &ConvGeometry, sink: Sink<T>) {
    let (shape, options) = (conv.y(), conv.options());
    let [vertical, horizontal] = forward_axes(&conv.used(), &conv.khw(), options);
    let [output, channel, row, column] = axis_strides(w);
    let outputs = shape[1] / options.groups;
    Correlation {
        x: Images::new(x),
        axes: [&vertical, &horizontal],
        images: shape[0],
        groups: options.groups,
        channels: w.shape()[1],
        outputs,
        w,
        w_strides: [outputs as isize * output, output, channel, row, column],
        bias: b,
    }
    .write(sink);
}

pub(super) fn input_gradient<T: Float>(dy: &TensorOf<T>, w: &TensorOf<T>, conv: &ConvGeometry, dx: &mut TensorOf<T>) {
    let (shape, hw) = (conv.x(), conv.hw());
    let Conv2dOptions { stride, padding, dilation, groups } = conv.options();
    let (channels, outputs) = (w.shape()[1], w.shape()[0] / groups);
    let [rows, columns]: [Vec<Axis>; 2] =
        std::array::from_fn(|i| Axis::adjoint(hw[i], w.shape()[2 + i], stride[i], padding[i], dilation[i]));
    let [output, channel, row, column] = axis_strides(w);
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
                w,
                w_strides: [outputs as isize * output, channel, output, row, column],
                bias: None,
            }
            .write(Sink::Pixels(&out, &layout));
        }
    }
}

/// Writes dw (O,C/groups,kh,kw) in row-major order.
pub(super) fn weight_gradient<T: Float>(x: &TensorOf<T>, dy: &TensorOf<T>, conv: &ConvGeometry, dw: &mut [T]) {
    let ohw = &conv.ohw();
    let [vertical, horizontal] = forward_axes(ohw, &conv.khw(), conv.options());
    // dy has the same pitch as x, with zeros where a row of x has no pixel of dy.
    let [dy_vertical, dy_horizontal] = forward_axes(ohw, &[1, 1], Conv2dOptions::default());
    let dy_horizontal = Axis { reach: horizontal.reach, ..dy_horizontal };
    let axes = [[&vertical, &horizontal], [&dy_vertical, &dy_horizontal]];
    WeightGradient::new([x, dy], axes[0], axes[1], conv.options().groups).write(dw);
}
