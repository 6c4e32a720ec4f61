//! The input of a convolution, copied into padded planes for the products.

#![expect(
    clippy::inline_always,
    reason = "loops are vectorized where they are inlined into a variant of `dispatch_tiled`"
)]

use std::ops::Range;

use super::axis::Axis;
use super::tile::PANEL;
use crate::cpu::conv::copies::{LANES, copy_rows};
use crate::element::Float;
use crate::tensor::TensorOf;

/// An image batch (N,C,H,W) of any strides.
#[derive(Clone, Copy)]
pub(super) struct Images<'a, T> {
    buffer: &'a [T],
    offset: isize,
    strides: [isize; 4],
    hw: [usize; 2],
}

impl<'a, T: Float> Images<'a, T> {
    pub(super) fn new(x: &'a TensorOf<T>) -> Self {
        let (layout, shape) = (x.layout(), x.shape());
        let s = layout.strides();
        Self {
            buffer: x.buffer(),
            offset: layout.offset() as isize,
            strides: [s[0], s[1], s[2], s[3]],
            hw: [shape[2], shape[3]],
        }
    }
}

/// The layout of the planes: for each channel and each pair of the axes' planes, `rows` rows of `pitch` elements.
///
/// Pixel (i, j) of the output is column `i·pitch + j` of every product; each tap reads the same columns at an offset.
/// Columns with `j` beyond the output's width hold no pixel: computing them is cheaper than a copy per tap.
pub(super) struct Planes<'a> {
    axes: [&'a Axis; 2],
    channels: usize,
    rows: usize,
    pub(super) pitch: usize,
    /// The distance between planes; the elements between them are zero.
    pub(super) step: usize,
}

impl<'a> Planes<'a> {
    /// The layout for `rows` rows of the output at a time.
    pub(super) fn new(axes: [&'a Axis; 2], channels: usize, rows: usize) -> Self {
        let (rows, pitch) = (rows + axes[0].reach, axes[1].count + axes[1].reach);
        Self { axes, channels, rows, pitch, step: (rows * pitch).next_multiple_of(LANES) }
    }

    fn count(&self) -> usize {
        self.channels * self.axes[0].origins.len() * self.axes[1].origins.len()
    }

    /// The elements per additional row of the output.
    pub(super) fn row_len(&self) -> usize {
        self.count() * self.pitch
    }

    /// The columns of a product that covers `rows` rows of the output.
    pub(super) fn columns(&self, rows: usize) -> usize {
        (rows - 1) * self.pitch + self.axes[1].count
    }

    /// The number of elements of the planes of one image.
    pub(super) fn len(&self) -> usize {
        self.count() * self.step
    }

    /// [`len`](Self::len), padded for the last panel of a product.
    pub(super) fn padded_len(&self) -> usize {
        self.len() + PANEL
    }

    /// The offset of column 0 of each row of the product: channels outermost, then kernel rows, then kernel columns.
    pub(super) fn offsets(&self) -> Vec<usize> {
        let [vertical, horizontal] = self.axes;
        let mut offsets = Vec::with_capacity(self.channels * vertical.taps.len() * horizontal.taps.len());
        for c in 0..self.channels {
            for p in &vertical.taps {
                for q in &horizontal.taps {
                    let plane = (c * vertical.origins.len() + p.plane) * horizontal.origins.len() + q.plane;
                    offsets.push(plane * self.step + p.skip * self.pitch + q.skip);
                }
            }
        }
        offsets
    }

    /// Fills the planes for the output's rows from `row` on with some channels of one image.
    ///
    /// `out` was zeroed once and has since been filled with this layout only, so the padding left and right of the image is zero.
    #[inline(always)]
    pub(super) fn fill<T: Float>(
        &self,
        x: &Images<T>,
        image: usize,
        channels: Range<usize>,
        row: usize,
        out: &mut [T],
    ) {
        let [vertical, horizontal] = self.axes;
        let [sn, sc, sh, sw] = x.strides;
        let mut start = 0;
        for c in channels {
            let base = x.offset + image as isize * sn + c as isize * sc;
            for v in 0..vertical.origins.len() {
                let (inside, first) = vertical.inside(v, row, self.rows, x.hw[0]);
                for h in 0..horizontal.origins.len() {
                    let (columns, left) = horizontal.inside(h, 0, self.pitch, x.hw[1]);
                    let plane = &mut out[start..start + self.rows * self.pitch];
                    start += self.step;
                    // An image without columns: all is padding, and its rows have no place in the buffer.
                    if columns.is_empty() {
                        continue;
                    }
                    for t in (0..inside.start).chain(inside.end..self.rows) {
                        plane[t * self.pitch..][columns.clone()].fill(T::ZERO);
                    }
                    if inside.is_empty() {
                        continue;
                    }
                    let (down, step) = (vertical.stride as isize * sh, horizontal.stride as isize * sw);
                    let from = base + first as isize * sh + left as isize * sw;
                    let (rows, width) = (inside.len(), columns.len());
                    let plane = &mut plane[inside.start * self.pitch + columns.start..];
                    if step == 1 {
                        let ends = [from, from + (rows - 1) as isize * down];
                        assert!(ends.iter().all(|&row| row >= 0 && row as usize + width <= x.buffer.len()));
                        assert!((rows - 1) * self.pitch + width <= plane.len());
                        let from = x.buffer.as_ptr().wrapping_offset(from);
                        // SAFETY: the first and the last row are in bounds of both, and so are those between them.
                        unsafe { copy_rows([rows, width], (from, down), (plane.as_mut_ptr(), self.pitch as isize)) };
                        continue;
                    }
                    for t in 0..rows {
                        let from = from + t as isize * down;
                        for (i, y) in plane[t * self.pitch..][..width].iter_mut().enumerate() {
                            *y = x.buffer[(from + i as isize * step) as usize];
                        }
                    }
                }
            }
        }
    }
}
