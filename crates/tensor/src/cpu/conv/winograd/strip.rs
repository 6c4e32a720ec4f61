//! Strips of images: some rows of all adjacent tiles, with as many channels as a register has lanes innermost.

#![expect(clippy::inline_always, reason = "loops are compiled with the features of the variant they are inlined into")]

use std::ops::Range;

use super::transform::TILE;
use crate::cpu::conv::copies::copy_short;
use crate::cpu::simd::{Registers, Vector};
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::Disjoint;

/// The partition of images into tiles of 4×4 outputs.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) images: usize,
    /// The number of strips in an image, and of tiles in a strip.
    pub(super) down: usize,
    pub(super) across: usize,
}

impl Grid {
    /// The partition of images with `ohw` outputs.
    pub(super) fn new(images: usize, ohw: [usize; 2]) -> Self {
        Self { images, down: ohw[0].div_ceil(TILE), across: ohw[1].div_ceil(TILE) }
    }

    pub(super) fn strips(&self) -> usize {
        self.images * self.down
    }

    /// The columns of a strip in memory: those that its tiles read, rounded up to whole registers at any level.
    pub(super) fn columns(&self) -> usize {
        (TILE * self.across + 2).next_multiple_of(16)
    }
}

/// The layout of images whose strips are read or written.
#[derive(Clone, Copy)]
pub(super) struct Pixels {
    offset: isize,
    strides: [isize; 4],
    hw: [usize; 2],
}

impl Pixels {
    pub(super) fn new(layout: &Layout) -> Self {
        let (s, shape) = (layout.strides(), layout.shape());
        Self { offset: layout.offset() as isize, strides: [s[0], s[1], s[2], s[3]], hw: [shape[2], shape[3]] }
    }

    fn row(&self, image: usize, channel: usize, row: usize) -> isize {
        let [n, c, h, _] = self.strides;
        self.offset + image as isize * n + channel as isize * c + row as isize * h
    }

    /// Reads rows `first..first + rows` of some channels, at most as many as a register has lanes, into
    /// `strip[row][left + column][channel]`; zeros outside the image and for missing channels. Columns of the image that do not
    /// fit into a row of the strip are left out: no tile reads them.
    ///
    /// `lines` is a workspace for 16 rows of `columns` elements.
    #[inline(always)]
    pub(super) fn read<T: Float, R: Registers>(
        &self,
        buffer: &[T],
        (image, channels): (usize, Range<usize>),
        (first, rows): (isize, usize),
        (left, columns): (usize, usize),
        (lines, strip): (&mut [T], &mut [T]),
    ) {
        let lanes = T::Vector::<R>::LANES;
        let lines = &mut lines[..lanes * columns];
        let width = self.hw[1].min(columns - left);
        lines.fill(T::ZERO);
        for r in 0..rows {
            let strip = &mut strip[r * columns * lanes..][..columns * lanes];
            let row = first + r as isize;
            if row < 0 || row >= self.hw[0] as isize {
                strip.fill(T::ZERO);
                continue;
            }
            for (line, channel) in lines.chunks_exact_mut(columns).zip(channels.clone()) {
                let from = self.row(image, channel, row as usize);
                let line = &mut line[left..left + width];
                if self.strides[3] == 1 {
                    copy_short(line, &buffer[from as usize..from as usize + width]);
                } else {
                    for (j, pixel) in line.iter_mut().enumerate() {
                        *pixel = buffer[(from + j as isize * self.strides[3]) as usize];
                    }
                }
            }
            for j in (0..columns).step_by(lanes) {
                // SAFETY: a square of lanes × lanes elements is in bounds of the lines and of the strip.
                unsafe {
                    T::Vector::<R>::transpose(
                        lines.as_ptr().add(j),
                        columns as isize,
                        strip.as_mut_ptr().add(j * lanes),
                        lanes,
                    );
                };
            }
        }
    }

    /// Writes rows `first..` of some channels from a strip, as far as they are inside the image.
    ///
    /// # Safety
    /// There is no other reference to these pixels.
    #[inline(always)]
    pub(super) unsafe fn write<T: Float, R: Registers>(
        &self,
        out: &Disjoint<T>,
        (image, channels): (usize, Range<usize>),
        first: usize,
        columns: usize,
        (lines, strip): (&mut [T], &[T]),
    ) {
        let lanes = T::Vector::<R>::LANES;
        let lines = &mut lines[..lanes * columns];
        for r in 0..TILE.min(self.hw[0] - first) {
            let strip = &strip[r * columns * lanes..][..columns * lanes];
            for j in (0..columns).step_by(lanes) {
                // SAFETY: a square of lanes × lanes elements is in bounds of the strip and of the lines.
                unsafe {
                    T::Vector::<R>::transpose(
                        strip.as_ptr().add(j * lanes),
                        lanes as isize,
                        lines.as_mut_ptr().add(j),
                        columns,
                    );
                };
            }
            for (line, channel) in lines.chunks_exact(columns).zip(channels.clone()) {
                let to = self.row(image, channel, first + r);
                let line = &line[..self.hw[1]];
                if self.strides[3] == 1 {
                    // SAFETY: as promised by the caller.
                    let to = unsafe { out.slice(to as usize..to as usize + line.len()) };
                    copy_short(to, line);
                } else {
                    for (j, &pixel) in line.iter().enumerate() {
                        // SAFETY: as above.
                        unsafe { *out.ptr((to + j as isize * self.strides[3]) as usize) = pixel };
                    }
                }
            }
        }
    }
}
