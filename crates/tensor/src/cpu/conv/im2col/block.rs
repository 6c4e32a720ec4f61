//! Blocks of the im2col matrix: the windows of some output pixels as columns, gathered directly from the images.

#![expect(clippy::inline_always, reason = "loops are compiled with the features of the variant they are inlined into")]

use std::ops::Range;

use crate::cpu::conv::copies::LANES;
use crate::cpu::simd::{Registers, Vector};
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::Disjoint;
use crate::shape_rules::Conv2dOptions;

/// Adjacent columns whose elements are in one row of an image.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// The first column.
    column: usize,
    len: usize,
    /// The position of its element relative to channel 0, and the distance to the next one.
    from: isize,
    step: isize,
}

/// Some output pixels of a convolution, numbered across all images, as columns of matrices.
pub(super) struct Block {
    /// For each cell of the kernel, the columns that read inside the image; the others read padding.
    cells: Vec<Vec<Run>>,
    /// The positions of the outputs.
    outputs: Vec<Run>,
    channel: isize,
    output_channel: isize,
}

/// A convolution's geometry: the layouts of its input and its output.
#[derive(Clone, Copy)]
pub(super) struct Geometry<'a> {
    pub(super) x: &'a Layout,
    pub(super) y: &'a Layout,
    pub(super) khw: [usize; 2],
    pub(super) options: Conv2dOptions,
}

impl Geometry<'_> {
    /// The number of output pixels of all images.
    pub(super) fn pixels(&self) -> usize {
        let y = self.y.shape();
        y[0] * y[2] * y[3]
    }

    /// The block of some output pixels.
    pub(super) fn block(&self, pixels: Range<usize>) -> Block {
        let (x, y) = (self.x.shape(), self.y.shape());
        let (xs, ys) = (self.x.strides(), self.y.strides());
        let Conv2dOptions { stride, padding, dilation, .. } = self.options;
        let mut cells = vec![Vec::new(); self.khw[0] * self.khw[1]];
        let mut outputs = Vec::new();
        let mut pixel = pixels.start;
        while pixel < pixels.end {
            let (image, i, j) = (pixel / (y[2] * y[3]), pixel / y[3] % y[2], pixel % y[3]);
            let len = (y[3] - j).min(pixels.end - pixel);
            let column = pixel - pixels.start;
            let start = self.y.offset() as isize + image as isize * ys[0] + i as isize * ys[2] + j as isize * ys[3];
            outputs.push(Run { column, len, from: start, step: ys[3] });
            for (cell, runs) in cells.iter_mut().enumerate() {
                let (p, q) = (cell / self.khw[1], cell % self.khw[1]);
                let row = (i * stride[0] + p * dilation[0]) as isize - padding[0] as isize;
                if row < 0 || row >= x[2] as isize {
                    continue;
                }
                // Column j + t reads position `at + t·stride` of the row.
                let at = (j * stride[1] + q * dilation[1]) as isize - padding[1] as isize;
                let first = if at < 0 { at.unsigned_abs().div_ceil(stride[1]) } else { 0 };
                let end = (x[3] as isize - at).max(0).cast_unsigned().div_ceil(stride[1]).min(len);
                if first < end {
                    let position = at + (first * stride[1]) as isize;
                    let from = self.x.offset() as isize + image as isize * xs[0] + row * xs[2] + position * xs[3];
                    runs.push(Run { column: column + first, len: end - first, from, step: stride[1] as isize * xs[3] });
                }
            }
            pixel += len;
        }
        Block { cells, outputs, channel: xs[1], output_channel: ys[1] }
    }
}

impl Block {
    /// Writes the windows of some channels: `to[(c, cell)][column]`, rows `width` apart.
    #[inline(always)]
    pub(super) fn gather<T: Float, R: Registers>(&self, x: &[T], channels: Range<usize>, to: &mut [T], width: usize) {
        to[..channels.len() * self.cells.len() * width].fill(T::ZERO);
        let mut rows = to.chunks_exact_mut(width);
        for c in channels {
            for runs in &self.cells {
                let row = rows.next().expect("there is a row for each cell of each channel");
                read::<T, R>(runs, x, c as isize * self.channel, row);
            }
        }
    }

    /// The adjoint of [`gather`](Self::gather): adds the columns to the pixels that they are read from.
    #[inline(always)]
    pub(super) fn scatter<T: Float, R: Registers>(
        &self,
        from: &[T],
        channels: Range<usize>,
        x: &mut [T],
        width: usize,
    ) {
        let mut rows = from.chunks_exact(width);
        for c in channels {
            for runs in &self.cells {
                let row = rows.next().expect("there is a row for each cell of each channel");
                for run in runs {
                    let start = run.from + c as isize * self.channel;
                    let values = &row[run.column..run.column + run.len];
                    if run.step == 1 {
                        for (x, &value) in x[start as usize..][..run.len].iter_mut().zip(values) {
                            *x += value;
                        }
                    } else if run.step == 2 {
                        add_to_even::<T, R>(values, &mut x[start as usize..]);
                    } else {
                        for (t, &value) in values.iter().enumerate() {
                            x[(start + t as isize * run.step) as usize] += value;
                        }
                    }
                }
            }
        }
    }

    /// Reads outputs of some channels: `to[o][column]`, rows `width` apart; zeros beyond the last column.
    #[inline(always)]
    pub(super) fn read_outputs<T: Float, R: Registers>(
        &self,
        y: &[T],
        channels: Range<usize>,
        to: &mut [T],
        width: usize,
    ) {
        for (o, row) in channels.zip(to.chunks_exact_mut(width)) {
            row.fill(T::ZERO);
            read::<T, R>(&self.outputs, y, o as isize * self.output_channel, row);
        }
    }

    /// Writes the outputs of a channel, one from each column, plus `bias`.
    ///
    /// # Safety
    /// There is no other reference to these outputs.
    #[inline(always)]
    pub(super) unsafe fn write_output<T: Float>(&self, channel: usize, row: &[T], bias: T, y: &Disjoint<T>) {
        for run in &self.outputs {
            let start = run.from + channel as isize * self.output_channel;
            let values = &row[run.column..run.column + run.len];
            if run.step == 1 {
                // SAFETY: as promised by the caller.
                let y = unsafe { y.slice(start as usize..start as usize + run.len) };
                for (y, &value) in y.iter_mut().zip(values) {
                    *y = value + bias;
                }
                continue;
            }
            for (t, &value) in values.iter().enumerate() {
                // SAFETY: as above.
                unsafe { *y.ptr((start + t as isize * run.step) as usize) = value + bias };
            }
        }
    }
}

/// `row[column] = x[from]` for each run, at an offset common to all, into a row of zeros. Runs are in order.
#[inline(always)]
fn read<T: Float, R: Registers>(runs: &[Run], x: &[T], moved: isize, row: &mut [T]) {
    for run in runs {
        let start = run.from + moved;
        if run.step == 1 {
            let to = &mut row[run.column..run.column + run.len];
            for (y, x) in to.iter_mut().zip(&x[start as usize..start as usize + run.len]) {
                *y = *x;
            }
        } else if run.step == 2 {
            read_even::<T, R>(&x[start as usize..], run.len, &mut row[run.column..]);
        } else {
            for (t, y) in row[run.column..run.column + run.len].iter_mut().enumerate() {
                *y = x[(start + t as isize * run.step) as usize];
            }
        }
    }
}

/// `to[t] = x[2·t]` for t in 0..len. The elements after them are set to 0, up to the length of a register.
#[inline(always)]
fn read_even<T: Float, R: Registers>(x: &[T], len: usize, to: &mut [T]) {
    let lanes = T::Vector::<R>::LANES;
    let mut t = 0;
    while t + lanes / 2 <= len && x.len() >= 2 * (t + lanes) && to.len() >= t + lanes {
        let mut even = [T::ZERO; LANES];
        // SAFETY: two registers can be read, and no register is longer than LANES.
        unsafe {
            let from = x.as_ptr().add(2 * t);
            T::Vector::<R>::load(from).unzip(T::Vector::<R>::load(from.add(lanes))).0.store(even.as_mut_ptr());
        }
        for (l, (to, even)) in to[t..t + lanes].iter_mut().zip(even).enumerate() {
            *to = if t + l < len { even } else { T::ZERO };
        }
        t += lanes;
    }
    for t in t..len {
        to[t] = x[2 * t];
    }
}

/// `x[2·t] += values[t]`. 0 is added to the elements in between.
#[inline(always)]
fn add_to_even<T: Float, R: Registers>(values: &[T], x: &mut [T]) {
    let lanes = T::Vector::<R>::LANES;
    let mut t = 0;
    while t < values.len() && x.len() >= 2 * (t + lanes) {
        let count = lanes.min(values.len() - t);
        if count < lanes / 2 {
            break;
        }
        // An element loop rather than a copy: a copy of unknown length would be a function call.
        let mut padded = [T::ZERO; LANES];
        for l in 0..lanes {
            padded[l] = if l < count { values[t + l] } else { T::ZERO };
        }
        // SAFETY: no register is longer than LANES, and two registers of x can be read and written.
        unsafe {
            let zero = T::Vector::<R>::splat(T::ZERO);
            let (first, second) = T::Vector::<R>::load(padded.as_ptr()).zip(zero);
            let to = x.as_mut_ptr().add(2 * t);
            T::Vector::<R>::load(to).add(first).store(to);
            T::Vector::<R>::load(to.add(lanes)).add(second).store(to.add(lanes));
        }
        t += count;
    }
    for t in t..values.len() {
        x[2 * t] += values[t];
    }
}
