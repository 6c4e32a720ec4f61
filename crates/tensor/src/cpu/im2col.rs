//! im2col and its adjoint col2im: a convolution's windows as the columns of a matrix.
//!
//! With them a convolution is one product per image, `(O, oh·ow) = (O, C·kh·kw) · (C·kh·kw, oh·ow)`. This is the derivation
//! on paper and the reference for the kernels in `conv`, which compute the same sums without materializing the matrix.

use crate::element::Float;
use crate::geometry::ConvGeometry;
use crate::layout::Layout;
use crate::parallel::parallel_chunks;
use crate::shape::Shape;
use crate::shape_rules::Conv2dOptions;
use crate::tensor::TensorOf;

/// The number of column elements per channel: `kh·kw·oh·ow`.
fn size(conv: &ConvGeometry) -> usize {
    conv.khw().iter().chain(&conv.ohw()).product()
}

/// Calls `f(index in the channel's columns, row, column)` for each window element inside the image.
fn for_each(conv: &ConvGeometry, mut f: impl FnMut(usize, usize, usize)) {
    let Conv2dOptions { stride, padding, dilation, .. } = conv.options();
    let ([height, width], [kh, kw], [oh, ow]) = (conv.hw(), conv.khw(), conv.ohw());
    for p in 0..kh {
        for q in 0..kw {
            for i in 0..oh {
                // Wraps around above the image, and is then out of range.
                let row = (i * stride[0] + p * dilation[0]).wrapping_sub(padding[0]);
                if row >= height {
                    continue;
                }
                for j in 0..ow {
                    let column = (j * stride[1] + q * dilation[1]).wrapping_sub(padding[1]);
                    if column < width {
                        f(((p * kw + q) * oh + i) * ow + j, row, column);
                    }
                }
            }
        }
    }
}

/// x (N,C,H,W) → (N, C·kh·kw, oh·ow); elements in the padding are 0.
pub(crate) fn im2col<T: Float>(x: &TensorOf<T>, conv: &ConvGeometry) -> TensorOf<T> {
    let (shape, [kh, kw], [oh, ow]) = (x.shape(), conv.khw(), conv.ohw());
    let columns = Shape::from([shape[0], shape[1] * kh * kw, oh * ow]);
    let mut y = TensorOf::uninitialized(Layout::contiguous(columns));
    let (layout, buffer) = (*x.layout(), x.buffer());
    parallel_chunks(y.buffer_mut().0, size(conv).max(1), 1, |job, column| {
        let plane = layout.position(&[job / shape[1], job % shape[1], 0, 0]) as isize;
        let (down, right) = (layout.strides()[2], layout.strides()[3]);
        column.fill(T::ZERO);
        for_each(conv, |to, row, col| {
            column[to] = buffer[(plane + row as isize * down + col as isize * right) as usize];
        });
    });
    y
}

/// The adjoint of [`im2col`]: dy (N, C·kh·kw, oh·ow) → dx (N,C,H,W), each element added to its source pixel.
pub(crate) fn col2im<T: Float>(dy: &TensorOf<T>, conv: &ConvGeometry) -> TensorOf<T> {
    let (channels, [height, width], [kh, kw], [oh, ow]) = (conv.x()[1], conv.hw(), conv.khw(), conv.ohw());
    let mut dx = TensorOf::uninitialized(Layout::contiguous(conv.x()));
    let (layout, buffer, places) = (*dy.layout(), dy.buffer(), oh * ow);
    parallel_chunks(dx.buffer_mut().0, (height * width).max(1), 1, |job, plane| {
        let first = layout.position(&[job / channels, job % channels * kh * kw, 0]) as isize;
        let (down, right) = (layout.strides()[1], layout.strides()[2]);
        plane.fill(T::ZERO);
        for_each(conv, |from, row, col| {
            let at = first + (from / places) as isize * down + (from % places) as isize * right;
            plane[row * width + col] += buffer[at as usize];
        });
    });
    dx
}
