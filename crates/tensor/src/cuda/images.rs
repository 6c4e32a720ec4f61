//! Image batches and convolutions as kernel arguments.

use crate::geometry::ConvGeometry;
use crate::gpu::launch::{Argument, checked};
use crate::layout::Layout;
use crate::memory_format::MemoryFormat;

/// `Images` of the kernels.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Images {
    n: i32,
    c: i32,
    h: i32,
    w: i32,
    stride: [i64; 4],
}

// SAFETY: the same fields of the same sizes in the same order.
unsafe impl Argument for Images {}

impl Images {
    /// The sizes and strides of a batch (N,C,H,W).
    pub(super) fn of(layout: &Layout) -> Self {
        let shape = layout.shape();
        checked(shape.numel());
        let [n, c, h, w] = [shape[0], shape[1], shape[2], shape[3]].map(|length| length as i32);
        Self { n, c, h, w, stride: std::array::from_fn(|axis| layout.strides()[axis] as i64) }
    }
}

/// The sizes common to all convolution kernels: `Convolution` of `convolution.cuh`, and the first fields of that of
/// `product.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) n: i32,
    pub(super) hw: [i32; 2],
    /// Per group, like `o`.
    pub(super) c: i32,
    pub(super) o: i32,
    pub(super) kernel: [i32; 2],
    pub(super) out: [i32; 2],
    pub(super) stride: [i32; 2],
    padding: [i32; 2],
    pub(super) dilation: [i32; 2],
}

// SAFETY: the same fields of the same sizes in the same order.
unsafe impl Argument for Sizes {}

impl Sizes {
    pub(super) fn new(conv: &ConvGeometry) -> Self {
        let (w, options) = (conv.w(), conv.options());
        Self {
            n: conv.x()[0] as i32,
            hw: pair(conv.hw()),
            c: w[1] as i32,
            o: (w[0] / options.groups) as i32,
            kernel: pair(conv.khw()),
            out: pair(conv.ohw()),
            stride: pair(options.stride),
            padding: pair(options.padding),
            dilation: pair(options.dilation),
        }
    }
}

/// Two lengths as `i32`, the type of the kernels.
pub(super) fn pair(of: [usize; 2]) -> [i32; 2] {
    of.map(|n| n as i32)
}

/// `Span` of the kernels: rows or columns `first`, `first + step`, …, and the divisor of an average.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) first: i32,
    pub(super) count: i32,
    pub(super) step: i32,
    pub(super) divisor: i32,
}

/// For each of `length` positions, the range of those of `count` others that touch it.
pub(super) fn around(length: usize, count: usize, touches: impl Fn(usize, usize) -> bool) -> Vec<Span> {
    let span = |place: usize| {
        let first = (0..count).find(|&other| touches(other, place)).unwrap_or(0);
        let last = (0..count).rfind(|&other| touches(other, place)).map_or(0, |other| other + 1);
        Span { first: first as i32, count: last.saturating_sub(first) as i32, step: 1, divisor: 1 }
    };
    (0..length).map(span).collect()
}

/// The layout of a result (N,C,H,W) in the format of an operand; images of one pixel count as channels-last, the fast format.
pub(super) fn format_like(operand: &Layout, shape: [usize; 4]) -> Layout {
    MemoryFormat::of(operand).unwrap_or(MemoryFormat::ChannelsLast).layout(shape.into())
}
