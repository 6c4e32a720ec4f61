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
use crate::cpu::conv::copies::copy_short;
use crate::cpu::simd::Registers;
use crate::cpu::tasks::{Tasks, parallel_tasks};
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::Disjoint;
use crate::tensor::TensorOf;

/// The correlation `y[n, o, i, j] = bias[o] + Σ x[n, c, ·, ·] · weight(o, c, p, q)`; the axes define which pixels are summed.
pub(super) struct Correlation<'a, T, W> {
    pub(super) x: Images<'a, T>,
    pub(super) axes: [&'a Axis; 2],
    pub(super) images: usize,
    pub(super) groups: usize,
    /// The channels of x and of y in each group.
    pub(super) channels: usize,
    pub(super) outputs: usize,
    /// The weight from channel c of its group, cell (p, q), to channel o of all.
    pub(super) weight: W,
    pub(super) bias: Option<&'a TensorOf<T>>,
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
    y: &'b Disjoint<'b, T>,
    layout: &'b Layout,
}

impl<T: Float, W: Fn(usize, usize, usize, usize) -> T> Correlation<'_, T, W> {
    /// Writes the pixels of y (N,O,·,·) that the axes select.
    pub(super) fn write(&self, y: &Disjoint<T>, layout: &Layout) {
        let [vertical, horizontal] = self.axes;
        let height = vertical.count;
        if self.images * self.groups * self.outputs * height * horizontal.count == 0 {
            return;
        }
        // As many rows as keep a block's planes in the L2 cache, but few enough that there is work for all threads.
        let row_bytes = Planes::new(self.axes, self.channels, 1).row_len() * size_of::<T>();
        let few = (height * self.images * self.groups).div_ceil(min_tasks());
        let rows = (BLOCK_BYTES / row_bytes.max(1)).min(few).clamp(1, height);
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
            y,
            layout,
        };
        parallel_tasks(self.images * self.groups * blocks, GRAIN.div_ceil(multiplications), &ready);
    }

    /// Packs the weights in the order in which [`product`] reads them: group, tile of outputs, tap, output.
    fn pack(&self, to: &mut [T]) {
        let mut slots = to.iter_mut();
        for group in 0..self.groups {
            for (start, rows) in tiles(self.outputs) {
                for c in 0..self.channels {
                    for p in &self.axes[0].taps {
                        for q in &self.axes[1].taps {
                            for o in start..start + rows {
                                let weight = (self.weight)(group * self.outputs + o, c, p.cell, q.cell);
                                *slots.next().expect("one slot for each weight") = weight;
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
        let (y, layout) = (self.y, self.layout);
        let [vertical, horizontal] = self.axes;
        let (pitch, width) = (self.planes.pitch, horizontal.count);
        let taps = self.offsets.len();
        let padded_len = self.planes.padded_len();
        let step = self.rows * pitch + PANEL;
        let mut scratch = scratch::<T>(padded_len + ROWS * step);
        let (planes, sums) = scratch.buffer_mut().0.split_at_mut(padded_len);
        planes.fill(T::ZERO);
        let s = layout.strides();
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
                for o in 0..count {
                    let plane = layout.offset() as isize + image as isize * s[0] + (first + o) as isize * s[1];
                    for i in 0..rows {
                        let from = &sums[o * step + i * pitch..][..width];
                        let to = plane
                            + (vertical.start + vertical.step * (row + i)) as isize * s[2]
                            + horizontal.start as isize * s[3];
                        let step = horizontal.step as isize * s[3];
                        if step == 1 {
                            // SAFETY: no other task writes this row.
                            let to = unsafe { y.slice(to as usize..to as usize + width) };
                            copy_short(to, from);
                        } else {
                            for (j, &sum) in from.iter().enumerate() {
                                // SAFETY: as above.
                                unsafe { *y.ptr((to + j as isize * step) as usize) = sum }
                            }
                        }
                    }
                }
            }
        }
    }
}
