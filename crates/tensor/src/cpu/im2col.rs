//! im2col and its adjoint col2im: a convolution's windows as the columns of a matrix.
//!
//! With them a convolution is one product per image, `(O, oh·ow) = (O, C·kh·kw) · (C·kh·kw, oh·ow)`. This is the derivation
//! on paper and the reference for the kernels in `conv`, which compute the same sums without materializing the matrix.

use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::parallel_chunks;
use crate::shape::Shape;
use crate::shape_rules::{Conv2dOptions, conv2d};
use crate::tensor::TensorOf;

/// The geometry of the windows of an image.
struct Windows {
    /// H, W
    image: [usize; 2],
    /// kh, kw
    kernel: [usize; 2],
    /// oh, ow
    places: [usize; 2],
    options: Conv2dOptions,
}

impl Windows {
    fn new(x: Shape, khw: [usize; 2], options: Conv2dOptions) -> Self {
        let one_channel = Shape::from([1, 1, khw[0], khw[1]]);
        let options = Conv2dOptions { groups: 1, ..options };
        let y = conv2d(x.with(1, 1), one_channel, None, options).expect("the caller has checked the shapes");
        Self { image: [x[2], x[3]], kernel: khw, places: [y[2], y[3]], options }
    }

    /// The number of column elements per channel: `kh·kw·oh·ow`.
    fn size(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.places[0] * self.places[1]
    }

    /// Calls `f(index in the channel's columns, row, column)` for each window element inside the image.
    fn for_each(&self, mut f: impl FnMut(usize, usize, usize)) {
        let Conv2dOptions { stride, padding, dilation, .. } = self.options;
        let [oh, ow] = self.places;
        for p in 0..self.kernel[0] {
            for q in 0..self.kernel[1] {
                for i in 0..oh {
                    // Wraps around above the image, and is then out of range.
                    let row = (i * stride[0] + p * dilation[0]).wrapping_sub(padding[0]);
                    if row >= self.image[0] {
                        continue;
                    }
                    for j in 0..ow {
                        let column = (j * stride[1] + q * dilation[1]).wrapping_sub(padding[1]);
                        if column < self.image[1] {
                            f(((p * self.kernel[1] + q) * oh + i) * ow + j, row, column);
                        }
                    }
                }
            }
        }
    }
}

/// x (N,C,H,W) → (N, C·kh·kw, oh·ow); elements in the padding are 0.
pub(crate) fn im2col<T: Float>(x: &TensorOf<T>, khw: [usize; 2], options: Conv2dOptions) -> TensorOf<T> {
    let shape = x.shape();
    let windows = Windows::new(shape, khw, options);
    let [oh, ow] = windows.places;
    let columns = Shape::from([shape[0], shape[1] * khw[0] * khw[1], oh * ow]);
    let mut y = TensorOf::uninitialized(Layout::contiguous(columns));
    let (layout, buffer) = (*x.layout(), x.buffer());
    parallel_chunks(y.buffer_mut().0, windows.size().max(1), 1, |job, column| {
        let plane = layout.position(&[job / shape[1], job % shape[1], 0, 0]) as isize;
        let (down, right) = (layout.strides()[2], layout.strides()[3]);
        column.fill(T::ZERO);
        windows.for_each(|to, row, col| {
            column[to] = buffer[(plane + row as isize * down + col as isize * right) as usize];
        });
    });
    y
}

/// The adjoint of [`im2col`]: dy (N, C·kh·kw, oh·ow) → dx (N,C,H,W), each element added to its source pixel.
pub(crate) fn col2im<T: Float>(
    dy: &TensorOf<T>,
    khw: [usize; 2],
    hw: [usize; 2],
    options: Conv2dOptions,
) -> TensorOf<T> {
    let columns = dy.shape();
    let channels = columns[1] / (khw[0] * khw[1]);
    let shape = Shape::from([columns[0], channels, hw[0], hw[1]]);
    let windows = Windows::new(shape, khw, options);
    let mut dx = TensorOf::uninitialized(Layout::contiguous(shape));
    let (layout, buffer, places) = (*dy.layout(), dy.buffer(), windows.places[0] * windows.places[1]);
    parallel_chunks(dx.buffer_mut().0, (hw[0] * hw[1]).max(1), 1, |job, plane| {
        let first = layout.position(&[job / channels, job % channels * khw[0] * khw[1], 0]) as isize;
        let (down, right) = (layout.strides()[1], layout.strides()[2]);
        plane.fill(T::ZERO);
        windows.for_each(|from, row, col| {
            let at = first + (from / places) as isize * down + (from % places) as isize * right;
            plane[row * hw[1] + col] += buffer[at as usize];
        });
    });
    dx
}
