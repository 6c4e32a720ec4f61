//! Image batches as the kernels of `kernels/cuda/image.cu` see them.

use crate::gpu::launch::{Argument, checked};
use crate::layout::Layout;

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
    /// A batch (N,C,H,W).
    pub(super) fn of(layout: &Layout) -> Self {
        let shape = layout.shape();
        checked(shape.numel());
        let [n, c, h, w] = [shape[0], shape[1], shape[2], shape[3]].map(|length| length as i32);
        Self { n, c, h, w, stride: std::array::from_fn(|axis| layout.strides()[axis] as i64) }
    }
}

/// `Span` of the kernels: neighboring rows or columns, and by how many an average divides.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) start: i32,
    pub(super) end: i32,
    pub(super) divisor: i32,
}

/// For each of `length` places the first to the last of `count` others that touch it.
pub(super) fn around(length: usize, count: usize, touches: impl Fn(usize, usize) -> bool) -> Vec<Span> {
    let span = |place: usize| {
        let first = (0..count).find(|&other| touches(other, place)).unwrap_or(0);
        let last = (0..count).rfind(|&other| touches(other, place)).map_or(0, |other| other + 1);
        Span { start: first as i32, end: last.max(first) as i32, divisor: 1 }
    };
    (0..length).map(span).collect()
}
