//! The direct algorithm: correlation of an image batch with kernels, for the convolution and its adjoint in the input.

#![expect(
    clippy::inline_always,
    reason = "loops are vectorized where they are inlined into a variant of `dispatch_tiled`"
)]

use std::ops::Range;

use super::axis::Axis;
use super::planes::{Images, Planes};
use super::tile::{PANEL, ROWS, product};
use super::{BLOCK_BYTES, GRAIN, min_tasks, scratch};
use crate::cpu::conv::copies::copy_rows;
use crate::cpu::pooling::Largest;
use crate::cpu::simd::{Registers, Tiled};
use crate::cpu::tasks::{Tasks, parallel_tasks};
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::Disjoint;
use crate::tensor::TensorOf;

/// The correlation `y[n, o, i, j] = bias[o] + Σ x[n, c, ·, ·] · w[o, c, p, q]`; the axes define which pixels are summed.
pub(super) struct Correlation<'a, T> {
    pub(super) x: Images<'a, T>,
    pub(super) axes: [&'a Axis; 2],
    pub(super) images: usize,
    pub(super) groups: usize,
    /// The channels of x and of y in each group.
    pub(super) channels: usize,
    pub(super) outputs: usize,
    /// The weight, and the distances between its groups, channels of y, channels of x, and rows and columns of the kernel.
    pub(super) w: &'a TensorOf<T>,
    pub(super) w_strides: [isize; 5],
    pub(super) bias: Option<&'a TensorOf<T>>,
}

/// What becomes of the sums.
#[derive(Clone, Copy)]
pub(super) enum Sink<'a, T> {
    /// They are the pixels of y (N,O,·,·) that the axes select.
    Pixels(&'a Disjoint<'a, T>, &'a Layout),
    /// relu and the maximum of each 2×2 window are y (N,O,oh,ow), contiguous like the index: that of the maximum in its plane, whose
    /// rows are `width` long.
    Maxima { y: &'a Disjoint<'a, T>, index: &'a Disjoint<'a, i32>, width: usize },
}

/// A prepared correlation: weights packed for the tiles, and the work split into tasks.
struct Ready<'a, 'b, T> {
    x: &'b Images<'a, T>,
    planes: Planes<'a>,
    axes: [&'a Axis; 2],
    offsets: Vec<usize>,
    groups: usize,
    channels: usize,
    outputs: usize,
    weights: &'b [T],
    bias: Vec<T>,
    /// The output rows of one task, and the number of such row blocks.
    rows: usize,
    blocks: usize,
    sink: Sink<'b, T>,
}

impl<T: Float> Correlation<'_, T> {
    /// Computes the sums at the pixels that the axes select.
    pub(super) fn write(&self, sink: Sink<T>) {
        let [vertical, horizontal] = self.axes;
        let height = vertical.count;
        if self.images * self.groups * self.outputs * height * horizontal.count == 0 {
            return;
        }
        // As many rows as keep a block's planes in the L2 cache, but few enough that there is work for all threads.
        let row_bytes = Planes::new(self.axes, self.channels, 1).row_len() * size_of::<T>();
        let few = (height * self.images * self.groups).div_ceil(min_tasks());
        let mut rows = (BLOCK_BYTES / row_bytes.max(1)).min(few).max(1);
        if let Sink::Maxima { .. } = sink {
            rows = rows.next_multiple_of(2);
        }
        let rows = rows.min(height);
        debug_assert!(matches!(sink, Sink::Pixels(..)) || rows.is_multiple_of(2), "a window is in one block");
        let blocks = height.div_ceil(rows);
        let planes = Planes::new(self.axes, self.channels, rows);
        let offsets = planes.offsets();
        let mut weights = scratch(self.groups * self.outputs * offsets.len());
        self.pack(weights.buffer_mut().0);
        let bias = (0..self.groups * self.outputs).map(|o| self.bias.map_or(T::ZERO, |b| b.at(&[o]))).collect();
        let multiplications = offsets.len().max(1) * self.outputs * rows * planes.pitch;
        let ready = Ready {
            x: &self.x,
            planes,
            axes: self.axes,
            offsets,
            groups: self.groups,
            channels: self.channels,
            outputs: self.outputs,
            weights: weights.buffer(),
            bias,
            rows,
            blocks,
            sink,
        };
        parallel_tasks(self.images * self.groups * blocks, GRAIN.div_ceil(multiplications), &ready);
    }

    /// Packs the weights in the order in which [`product`] reads them: group, tile of outputs, tap, output.
    fn pack(&self, to: &mut [T]) {
        let [of_group, of_output, of_channel, of_row, of_column] = self.w_strides;
        let (w, mut rest) = (self.w.buffer(), to);
        for group in 0..self.groups {
            for (start, rows) in tiles(self.outputs) {
                let first = self.w.layout().offset() as isize + group as isize * of_group + start as isize * of_output;
                for c in 0..self.channels {
                    for p in &self.axes[0].taps {
                        for q in &self.axes[1].taps {
                            let cell = p.cell as isize * of_row + q.cell as isize * of_column;
                            let first = first + c as isize * of_channel + cell;
                            let slots = rest.split_off_mut(..rows).expect("one slot for each weight");
                            for (o, slot) in slots.iter_mut().enumerate() {
                                *slot = w[(first + o as isize * of_output) as usize];
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Tiles of at most [`ROWS`] outputs, of nearly equal length: the first output and the length of each.
fn tiles(outputs: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = outputs.div_ceil(ROWS);
    (0..count).map(move |t| (outputs * t / count, outputs * (t + 1) / count - outputs * t / count))
}

impl<T: Float> Tasks for Ready<'_, '_, T> {
    type Element = T;

    #[inline(always)]
    fn run<R: Registers>(&self, tasks: Range<usize>) {
        let [vertical, horizontal] = self.axes;
        let pitch = self.planes.pitch;
        let taps = self.offsets.len();
        let padded_len = self.planes.padded_len();
        let step = self.rows * pitch + PANEL;
        let mut scratch = scratch::<T>(padded_len + ROWS * step);
        let (planes, sums) = scratch.buffer_mut().0.split_at_mut(padded_len);
        planes.fill(T::ZERO);
        for task in tasks {
            let (block, group, image) =
                (task % self.blocks, task / self.blocks % self.groups, task / self.blocks / self.groups);
            let row = block * self.rows;
            let rows = self.rows.min(vertical.count - row);
            self.planes.fill(self.x, image, group * self.channels..(group + 1) * self.channels, row, planes);
            let columns = self.planes.columns(rows);
            for (start, count) in tiles(self.outputs) {
                let first = group * self.outputs + start;
                let mut bias = [T::ZERO; ROWS];
                bias[..count].copy_from_slice(&self.bias[first..first + count]);
                let w = self.weights[first * taps..].as_ptr();
                // (O, rows·pitch) = (O, C·kh·kw) · (C·kh·kw, rows·pitch)
                // SAFETY: `padded_len` and `step` include the last panel; weights are packed for these tiles.
                unsafe {
                    product::<T, R>(
                        count,
                        columns,
                        &self.offsets,
                        &bias,
                        (w, planes.as_ptr()),
                        (sums.as_mut_ptr(), step),
                    );
                }
                for (o, sums) in sums.chunks_exact(step).take(count).enumerate() {
                    match self.sink {
                        Sink::Pixels(y, layout) => {
                            // SAFETY: no other task writes these rows.
                            unsafe { self.write_rows(sums, (image, first + o), row..row + rows, y, layout) };
                        }
                        Sink::Maxima { y, index, width } => {
                            let columns = horizontal.count / 2;
                            let plane = image * self.groups * self.outputs + first + o;
                            let at = (plane * (vertical.count / 2) + row / 2) * columns;
                            let place = at..at + rows / 2 * columns;
                            // SAFETY: no other task writes the maxima of these rows.
                            let (y, index) = unsafe { (y.slice(place.clone()), index.slice(place)) };
                            Largest { x: sums, first: row, step: pitch, width, y, index, columns, relu: true }
                                .run::<R>();
                        }
                    }
                }
            }
        }
    }
}

impl<T: Float> Ready<'_, '_, T> {
    /// Writes some rows of one channel of an image.
    ///
    /// # Safety
    /// There is no other reference to these rows.
    #[inline(always)]
    unsafe fn write_rows(
        &self,
        sums: &[T],
        (image, channel): (usize, usize),
        rows: Range<usize>,
        y: &Disjoint<T>,
        layout: &Layout,
    ) {
        let [vertical, horizontal] = self.axes;
        let (s, pitch, width) = (layout.strides(), self.planes.pitch, horizontal.count);
        let plane = layout.offset() as isize + image as isize * s[0] + channel as isize * s[1];
        let first =
            plane + (vertical.start + vertical.step * rows.start) as isize * s[2] + horizontal.start as isize * s[3];
        let (down, step) = (vertical.step as isize * s[2], horizontal.step as isize * s[3]);
        assert!(sums.len() >= (rows.len() - 1) * pitch + width);
        if step == 1 {
            let ends = [first, first + (rows.len() - 1) as isize * down];
            assert!(ends.iter().all(|&row| row >= 0 && row as usize + width <= y.len()));
            // SAFETY: the first and the last row are in bounds of both, and so are those between them.
            unsafe { copy_rows([rows.len(), width], (sums.as_ptr(), pitch as isize), (y.ptr(first as usize), down)) };
            return;
        }
        for (i, from) in sums.chunks(pitch).take(rows.len()).enumerate() {
            for (j, &sum) in from[..width].iter().enumerate() {
                // SAFETY: as promised by the caller.
                unsafe { *y.ptr((first + i as isize * down + j as isize * step) as usize) = sum }
            }
        }
    }
}
