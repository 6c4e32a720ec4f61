//! Convolution as one matrix product, for few pixels and large weights: a batch of one image, or small images. The weight, by far the
//! largest operand, is then read from memory once, while the other algorithms transform it or read it in a bad order.

use crate::cpu::im2col::{col2im, im2col};
use crate::cpu::{copy, product};
use crate::element::Float;
use crate::geometry::ConvGeometry;
use crate::shape::Shape;
use crate::shape_rules::Conv2dOptions;
use crate::tensor::TensorOf;

/// The maximum number of pixels of the whole batch, and the minimum number of weights.
const PIXELS: usize = 255;
const WEIGHTS: usize = 1 << 16;

/// Whether a convolution with w (O,C/groups,kh,kw) and result y (N,O,oh,ow) uses this algorithm.
pub(super) fn applies(w: Shape, options: Conv2dOptions, y: Shape) -> bool {
    options.groups == 1 && y[0] * y[2] * y[3] <= PIXELS && w.numel() >= WEIGHTS
}

/// The weight as a matrix (O, C·kh·kw).
fn matrix<T: Float>(w: &TensorOf<T>) -> TensorOf<T> {
    let shape = w.shape();
    w.reshape([shape[0], shape[1] * shape[2] * shape[3]])
}

/// The windows of all images as rows: x (N,C,H,W) → (N·oh·ow, C·kh·kw).
fn windows<T: Float>(x: &TensorOf<T>, conv: &ConvGeometry) -> TensorOf<T> {
    let columns = im2col(x, conv);
    let [images, cells, pixels] = [0, 1, 2].map(|axis| columns.shape()[axis]);
    columns.transpose(1, 2).contiguous().reshape([images * pixels, cells])
}

/// The channels of all pixels as rows: y (N,O,oh,ow) → (N·oh·ow, O).
fn pixels<T: Float>(y: &TensorOf<T>) -> TensorOf<T> {
    let shape = y.shape();
    y.permute(&[0, 2, 3, 1]).contiguous().reshape([shape[0] * shape[2] * shape[3], shape[1]])
}

pub(super) fn convolve<T: Float>(
    x: &TensorOf<T>,
    w: &TensorOf<T>,
    b: Option<&TensorOf<T>>,
    conv: &ConvGeometry,
    y: &mut TensorOf<T>,
) {
    let shape = conv.y();
    // (N·oh·ow, O) = (N·oh·ow, C·kh·kw) · (C·kh·kw, O)
    let rows = product::linear(&windows(x, conv), &matrix(w), b);
    copy::copy(y, &rows.reshape([shape[0], shape[2], shape[3], shape[1]]).permute(&[0, 3, 1, 2]));
}

pub(super) fn input_gradient<T: Float>(dy: &TensorOf<T>, w: &TensorOf<T>, conv: &ConvGeometry, dx: &mut TensorOf<T>) {
    let shape = conv.y();
    // (N·oh·ow, C·kh·kw) = (N·oh·ow, O) · (O, C·kh·kw)
    let rows = product::matmul(&pixels(dy), &matrix(w));
    let cells = rows.shape()[1];
    copy::copy(dx, &col2im(&rows.reshape([shape[0], shape[2] * shape[3], cells]).transpose(1, 2), conv));
}

/// dw (O,C,kh,kw).
pub(super) fn weight_gradient<T: Float>(x: &TensorOf<T>, dy: &TensorOf<T>, conv: &ConvGeometry) -> TensorOf<T> {
    // (O, C·kh·kw) = (O, N·oh·ow) · (N·oh·ow, C·kh·kw)
    product::matmul(&pixels(dy).transpose(0, 1), &windows(x, conv)).reshape(conv.w())
}
