//! The gradient of a convolution in its weight: dot products over pixels, summed over images in a fixed order.

#![expect(
    clippy::inline_always,
    reason = "loops are vectorized where they are inlined into a variant of `dispatch_tiled`"
)]

use std::ops::Range;

use super::axis::Axis;
use super::planes::{Images, Planes};
use super::tile::{MAX_DOTS, Vectors, dots, most_dots};
use super::{BLOCK_BYTES, GRAIN, add_pairwise, min_tasks, scratch};
use crate::cpu::simd::Registers;
use crate::cpu::tasks::{Tasks, parallel_tasks};
use crate::element::Float;
use crate::parallel::Disjoint;
use crate::tensor::TensorOf;

/// The maximum number of partial sums over images.
const CHUNKS: usize = 16;
/// The maximum number of elements of all partial sums together.
const PARTIALS: usize = 1 << 20;
/// The maximum number of outputs per task; each task copies its images into planes.
const OUTPUTS: usize = 64;
/// The minimum number of pixels per dot product, to amortize the final sum over its lanes.
const PIXELS: usize = 1024;

/// `dw[o, k] = Σ dy[n, o, i, j] · x[n, taps(k), i, j]`, and the partition of the sum, which depends on shapes alone.
pub(super) struct WeightGradient<'a, T> {
    x: Images<'a, T>,
    dy: Images<'a, T>,
    x_planes: Planes<'a>,
    dy_planes: Planes<'a>,
    offsets: Vec<usize>,
    images: usize,
    groups: usize,
    /// The channels of x and of dy in each group.
    channels: usize,
    outputs: usize,
    height: usize,
    /// Images are summed in chunks, and a chunk in blocks of some images or, if an image is large, of some of its rows.
    chunks: usize,
    images_at_once: usize,
    rows: usize,
    /// The outputs of one task.
    outputs_at_once: usize,
}

impl<'a, T: Float> WeightGradient<'a, T> {
    /// For x (N,C,H,W) and dy (N,O,oh,ow). `dy_axes` are those of dy with a 1×1 kernel, with the pitch of `axes`.
    pub(super) fn new(
        [x, dy]: [&'a TensorOf<T>; 2],
        axes: [&'a Axis; 2],
        dy_axes: [&'a Axis; 2],
        groups: usize,
    ) -> Self {
        let (images, height) = (x.shape()[0], axes[0].count);
        let (channels, outputs) = (x.shape()[1] / groups, dy.shape()[1] / groups);
        let row_bytes = Planes::new(axes, channels, 1).row_len() * size_of::<T>();
        let rows = (BLOCK_BYTES / row_bytes.max(1)).clamp(1, height.max(1));
        let x_planes = Planes::new(axes, channels, rows);
        let pixels = rows * x_planes.pitch;
        let fitting = BLOCK_BYTES / (x_planes.len() * size_of::<T>()).max(1);
        let images_at_once = if rows < height { 1 } else { (PIXELS / pixels.max(1)).min(fitting).max(1) };
        let numbers = (groups * outputs * channels * axes[0].taps.len() * axes[1].taps.len()).max(1);
        let chunks = images.div_ceil(images_at_once).min(CHUNKS).min(PARTIALS / numbers).max(1);
        // One task per tile of outputs if there are too few images and groups.
        let pieces = min_tasks().div_ceil((chunks * groups).max(1));
        let outputs_at_once = outputs.div_ceil(pieces).next_multiple_of(MAX_DOTS[1]).clamp(MAX_DOTS[1], OUTPUTS);
        Self {
            offsets: x_planes.offsets(),
            x: Images::new(x),
            dy: Images::new(dy),
            dy_planes: Planes::new(dy_axes, outputs_at_once.min(outputs), rows),
            x_planes,
            images,
            groups,
            channels,
            outputs,
            height,
            chunks,
            images_at_once,
            rows,
            outputs_at_once,
        }
    }

    /// dw (O, C/groups·kh·kw) in row-major order.
    pub(super) fn write(&self, dw: &mut [T]) {
        let len = dw.len();
        if len == 0 {
            return;
        }
        let mut partials = scratch::<T>(self.chunks * len);
        let partials = partials.buffer_mut().0;
        let tiles = self.outputs.div_ceil(self.outputs_at_once);
        let tasks = self.chunks * self.groups * tiles;
        let work = self.images * self.height * self.x_planes.pitch * len / tasks;
        let parts = Disjoint::new(partials);
        parallel_tasks(tasks, GRAIN.div_ceil(work.max(1)), &Parts { all: self, parts: &parts, tiles });
        add_pairwise(partials, len);
        dw.copy_from_slice(&partials[..len]);
    }
}

/// The parts of the sum, of which `tiles` have different outputs.
struct Parts<'a, 'b, T> {
    all: &'a WeightGradient<'b, T>,
    parts: &'a Disjoint<'a, T>,
    tiles: usize,
}

impl<T: Float> Tasks for Parts<'_, '_, T> {
    type Element = T;

    #[inline(always)]
    fn run<R: Registers>(&self, tasks: Range<usize>) {
        let all = self.all;
        let taps = all.offsets.len();
        // A vector is read up to a multiple of the lanes; dy is 0 there.
        let (x_image, dy_image) = (all.x_planes.padded_len(), all.dy_planes.padded_len());
        let size = all.images_at_once * (x_image + dy_image);
        let mut scratch = scratch::<T>(size);
        let (x, dy) = scratch.buffer_mut().0.split_at_mut(all.images_at_once * x_image);
        x.fill(T::ZERO);
        dy.fill(T::ZERO);
        for task in tasks {
            let (tile, group, chunk) =
                (task % self.tiles, task / self.tiles % all.groups, task / self.tiles / all.groups);
            let output = tile * all.outputs_at_once;
            let outputs = all.outputs_at_once.min(all.outputs - output);
            let start = (chunk * all.groups * all.outputs + group * all.outputs + output) * taps;
            // SAFETY: no other task writes these outputs of this chunk.
            let part = unsafe { self.parts.slice(start..start + outputs * taps) };
            part.fill(T::ZERO);
            let images = all.images * chunk / all.chunks..all.images * (chunk + 1) / all.chunks;
            for image in images.clone().step_by(all.images_at_once) {
                let count = all.images_at_once.min(images.end - image);
                for row in (0..all.height).step_by(all.rows) {
                    for n in 0..count {
                        let planes = &mut x[n * x_image..][..x_image];
                        all.x_planes.fill(
                            &all.x,
                            image + n,
                            group * all.channels..(group + 1) * all.channels,
                            row,
                            planes,
                        );
                        let planes = &mut dy[n * dy_image..][..dy_image];
                        let first = group * all.outputs + output;
                        all.dy_planes.fill(&all.dy, image + n, first..first + outputs, row, planes);
                    }
                    all.sum::<R>(count, outputs, (x, x_image), (dy, dy_image), part);
                }
            }
        }
    }
}

impl<T: Float> WeightGradient<'_, T> {
    /// Adds the dot products of one block's planes to dw.
    #[inline(always)]
    fn sum<R: Registers>(&self, images: usize, outputs: usize, x: (&[T], usize), dy: (&[T], usize), dw: &mut [T]) {
        let taps = self.offsets.len();
        let pixels = self.x_planes.columns(self.rows);
        let (x, dy) = (Vectors { start: x.0.as_ptr(), image: x.1 }, Vectors { start: dy.0.as_ptr(), image: dy.1 });
        let [down, across] = most_dots::<R>();
        for o in (0..outputs).step_by(across) {
            let columns: [usize; MAX_DOTS[1]] = std::array::from_fn(|i| (o + i) * self.dy_planes.step);
            let columns = &columns[..across.min(outputs - o)];
            let pieces = taps.div_ceil(down);
            for piece in 0..pieces {
                // Tiles of nearly equal size: nine taps are three tiles of three, or five and four.
                let (from, to) = (taps * piece / pieces, taps * (piece + 1) / pieces);
                // (C·kh·kw, O) = (C·kh·kw, rows·pitch) · (rows·pitch, O)
                // SAFETY: the planes are padded to a multiple of the lanes.
                let sums = unsafe { dots::<T, R>([images, pixels], (x, &self.offsets[from..to]), (dy, columns)) };
                for (tap, sums) in (from..to).zip(&sums) {
                    for (k, sum) in sums.iter().enumerate().take(columns.len()) {
                        dw[(o + k) * taps + tap] += *sum;
                    }
                }
            }
        }
    }
}
