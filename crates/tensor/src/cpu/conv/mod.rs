//! Convolution and its two adjoints, by four algorithms: Winograd's for many channels, one product for few pixels (`whole`), blocks of
//! the im2col matrix for strides and small images, and direct sums for few channels.

mod blocks;
mod copies;
mod direct;
mod im2col;
mod pooled;
#[cfg(test)]
mod tests;
mod whole;
mod winograd;

pub(crate) use blocks::parameter_gradients;
pub(crate) use pooled::{conv2d_relu_max_pool, conv2d_relu_max_pool_backward};

use std::sync::atomic::{AtomicBool, Ordering};

use im2col::Im2col;

use crate::cpu::{elementwise, images};
use crate::element::Float;
use crate::geometry::ConvGeometry;
use crate::kernel::{Epilogue, Unary};
use crate::layout::Layout;
use crate::parallel::{Disjoint, parallel_for};
use crate::shape::Shape;
use crate::tensor::TensorOf;

/// How a convolution or one of its adjoints is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Winograd,
    Whole,
    Im2col,
    Direct,
}

impl Algorithm {
    /// The algorithm for the result of `shape` (N,C,H,W): y of a convolution, dx of its adjoint in the input, y of that in the
    /// weight. Shapes and the type alone decide, so that the bits of a result do not depend on the sizes of caches.
    fn new<T: Float>(conv: &ConvGeometry, shape: Shape) -> Self {
        let (w, options) = (conv.w(), conv.options());
        if winograd::applies::<T>(w, options, shape) {
            Self::Winograd
        } else if whole::applies(w, options, conv.y()) {
            Self::Whole
        } else if im2col::applies(w, options, conv.y()) {
            Self::Im2col
        } else {
            Self::Direct
        }
    }
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

/// Whether all elements are finite. If they are, products with 0 can be left out of sums: 0·∞ would be NaN.
fn is_finite<T: Float>(x: &TensorOf<T>) -> bool {
    let x = x.dense();
    let elements = &x.buffer()[x.layout().offset()..][..x.numel()];
    let finite = AtomicBool::new(true);
    parallel_for(elements.len(), 1 << 16, |range| {
        // The product is 0 or NaN. Counting needs no branch for each element.
        if elements[range].iter().filter(|&&x| x * T::ZERO != T::ZERO).count() > 0 {
            finite.store(false, Ordering::Relaxed);
        }
    });
    finite.into_inner()
}

/// The layout of a result with the memory format of `x`.
fn formatted<T: Float>(x: &TensorOf<T>, shape: Shape) -> Layout {
    images::Images::new(x.layout()).formatted(shape)
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

/// The first rows and columns of each image.
fn first_pixels(layout: &Layout, [rows, columns]: [usize; 2]) -> Layout {
    let rows = layout.slice(2, 0, rows, 1).expect("there are as many rows");
    rows.slice(3, 0, columns, 1).expect("there are as many columns")
}

/// Rows and columns of the result that are not used may be left as they are.
fn convolve<T: Float>(x: &TensorOf<T>, w: &TensorOf<T>, b: Option<&TensorOf<T>>, conv: &ConvGeometry) -> TensorOf<T> {
    let mut y = TensorOf::uninitialized(formatted(x, conv.y()));
    match Algorithm::new::<T>(conv, conv.y()) {
        Algorithm::Winograd => {
            let padding = conv.options().padding;
            let (buffer, layout) = y.buffer_mut();
            let correlation = winograd::Correlation { x, w, adjoint: false, bias: b, padding };
            correlation.write(buffer, &first_pixels(&layout, conv.used()));
        }
        Algorithm::Whole => whole::convolve(x, w, b, conv, &mut y),
        Algorithm::Im2col => {
            let (buffer, layout) = y.buffer_mut();
            Im2col::new(x.layout(), conv, &layout).forward(x.buffer(), w, b, buffer);
        }
        Algorithm::Direct => direct::convolve(x, w, b, conv, &mut y),
    }
    y
}

pub(crate) fn input_gradient<T: Float>(dy: &TensorOf<T>, w: &TensorOf<T>, conv: &ConvGeometry) -> TensorOf<T> {
    let mut dx = TensorOf::uninitialized(formatted(dy, conv.x()));
    match Algorithm::new::<T>(conv, conv.x()) {
        Algorithm::Winograd => {
            // The adjoint of a convolution with padding p is one with padding 2 − p and the rotated kernel.
            let padding = conv.options().padding.map(|p| 2 - p);
            let (buffer, layout) = dx.buffer_mut();
            winograd::Correlation { x: dy, w, adjoint: true, bias: None, padding }.write(buffer, &layout);
        }
        Algorithm::Whole => whole::input_gradient(dy, w, conv, &mut dx),
        Algorithm::Im2col => {
            let (buffer, layout) = dx.buffer_mut();
            Im2col::new(&layout, conv, dy.layout()).input_gradient(dy.buffer(), w, buffer);
        }
        Algorithm::Direct => direct::input_gradient(dy, w, conv, &mut dx),
    }
    dx
}

/// Where dy is not used it is 0.
fn weight_gradient<T: Float>(x: &TensorOf<T>, dy: &TensorOf<T>, conv: &ConvGeometry) -> TensorOf<T> {
    let mut result = TensorOf::uninitialized(Layout::contiguous(conv.w()));
    let dw = result.buffer_mut().0;
    match Algorithm::new::<T>(conv, conv.y()) {
        Algorithm::Winograd => {
            let used = if conv.used() == conv.ohw() || is_finite(x) { conv.used() } else { conv.ohw() };
            winograd::weight_gradient([x, dy], conv.options().padding, used, dw);
        }
        Algorithm::Whole => return whole::weight_gradient(x, dy, conv),
        Algorithm::Im2col => {
            Im2col::new(x.layout(), conv, dy.layout()).weight_gradient(x.buffer(), dy.buffer(), dw);
        }
        Algorithm::Direct => direct::weight_gradient(x, dy, conv, dw),
    }
    result
}
