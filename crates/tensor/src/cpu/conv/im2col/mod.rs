//! Convolution as matrix products with blocks of the im2col matrix: for strided and 1×1 convolutions of many channels, and
//! for small images.
//!
//! A block has the columns of some pixels, of several images if these are small, and stays in the L2 cache. The whole
//! matrix is never in memory.

#![expect(clippy::inline_always, reason = "loops are compiled with the features of the variant they are inlined into")]

mod block;

use std::ops::Range;

use super::copies::{LANES, transpose};
use super::scratch;
use crate::cpu::product::{Operand, ROW_GROUP, product, tiles};
use crate::cpu::simd::{Registers, Vector};
use crate::cpu::tasks::{Tasks, parallel_tasks};
use crate::element::Float;
use crate::geometry::ConvGeometry;
use crate::layout::Layout;
use crate::parallel::Disjoint;
use crate::shape::Shape;
use crate::shape_rules::Conv2dOptions;
use crate::tensor::TensorOf;
use block::Geometry;

/// Columns and rows are rounded up to whole tiles of a product at any level of CPU features.
const ROUND: usize = 32;
/// The maximum bytes of a block of the im2col matrix.
const BLOCK_BYTES: usize = 512 << 10;
/// The maximum bytes of a task's part of the weight gradient.
const SUM_BYTES: usize = 384 << 10;
/// The minimum number of tasks, for all threads to have work if there are fewer blocks of channels.
const TASKS: usize = 8;

/// Whether a convolution with w (O,C/groups,kh,kw) and result y (N,O,oh,ow) uses this algorithm.
pub(super) fn applies(w: Shape, options: Conv2dOptions, y: Shape) -> bool {
    let many = w[1] * w[2] * w[3] >= 2 * ROUND && w[0] / options.groups >= ROUND / 2
        || w[1] * w[2] * w[3] >= ROUND && w[0] / options.groups >= ROUND;
    many && (options.stride != [1, 1] || w[2..] == [1, 1] || y[3] < ROUND / 4)
}

/// A convolution between x and y, either of which may be the result.
pub(super) struct Im2col<'a> {
    geometry: Geometry<'a>,
    groups: usize,
    /// Input and output channels of a group, and rows of its im2col matrix.
    channels: usize,
    outputs: usize,
    rows: usize,
    /// The columns of a block.
    width: usize,
}

impl<'a> Im2col<'a> {
    /// For x (N,C,H,W) and y (N,O,oh,ow) in these layouts.
    pub(super) fn new(x: &'a Layout, conv: &ConvGeometry, y: &'a Layout) -> Self {
        let (w, options) = (conv.w(), conv.options());
        let rows = w[1] * w[2] * w[3];
        let width = if rows * 2 * ROUND * size_of::<f32>() <= BLOCK_BYTES { 2 * ROUND } else { ROUND };
        Self {
            geometry: Geometry { x, y, khw: [w[2], w[3]], options },
            groups: options.groups,
            channels: w[1],
            outputs: w[0] / options.groups,
            rows,
            width,
        }
    }

    /// `y = w · im2col(x) + b`.
    pub(super) fn forward<T: Float>(&self, x: &[T], w: &TensorOf<T>, b: Option<&TensorOf<T>>, y: &mut [T]) {
        let packed = self.pack(w, false);
        let bias: Vec<T> = (0..self.groups * self.outputs).map(|o| b.map_or(T::ZERO, |b| b.at(&[o]))).collect();
        let blocks = self.geometry.pixels().div_ceil(self.width);
        let work = Forward { all: self, x, packed: packed.buffer(), bias: &bias, y: &Disjoint::new(y) };
        parallel_tasks(blocks, 1, &work);
    }

    /// `dx = col2im(wᵀ · dy)`.
    pub(super) fn input_gradient<T: Float>(&self, dy: &[T], w: &TensorOf<T>, dx: &mut [T]) {
        let packed = self.pack(w, true);
        let shape = self.geometry.y.shape();
        let images = (self.width / (shape[2] * shape[3]).max(1)).max(1);
        let work = InputGradient { all: self, images, dy, packed: packed.buffer(), dx: &Disjoint::new(dx) };
        parallel_tasks(shape[0].div_ceil(images), 1, &work);
    }

    /// `dw = Σ dy · im2col(x)ᵀ`, in row-major order.
    pub(super) fn weight_gradient<T: Float>(&self, x: &[T], dy: &[T], dw: &mut [T]) {
        let cells = self.rows / self.channels;
        let padded = self.outputs.next_multiple_of(ROUND);
        let most = (SUM_BYTES / (cells * padded * size_of::<T>())).clamp(1, self.channels);
        let pieces = self.channels.div_ceil(most);
        // Parts of equal size: a small one takes as long as a large one.
        let at_once = self.channels.div_ceil(pieces);
        let blocks = self.geometry.pixels().div_ceil(self.width);
        let chunks = TASKS.div_ceil(pieces * self.groups).min(blocks).max(1);
        let len = dw.len();
        let mut partials = scratch(chunks * len);
        let parts = partials.buffer_mut().0;
        let work = WeightGradient { all: self, at_once, pieces, chunks, len, x, dy, parts: &Disjoint::new(parts) };
        parallel_tasks(self.groups * pieces * chunks, 1, &work);
        super::add_pairwise(parts, len);
        dw.copy_from_slice(&parts[..len]);
    }

    /// The weights packed for the tiles of a product, `[group][tile][k][row of the tile]`: rows are outputs and k runs over
    /// the rows of the im2col matrix; transposed, it is the other way round.
    fn pack<T: Float>(&self, w: &TensorOf<T>, transposed: bool) -> TensorOf<T> {
        let w = w.contiguous();
        let (rows, k) = if transposed { (self.rows, self.outputs) } else { (self.outputs, self.rows) };
        let padded = rows.next_multiple_of(ROUND);
        let row_groups = padded.div_ceil(ROW_GROUP);
        let mut packed = scratch(self.groups * padded * k);
        let w = w.as_slice().expect("it is contiguous");
        let to = Disjoint::new(packed.buffer_mut().0);
        let work = Pack { w, to: &to, transposed, sizes: [rows, k, padded] };
        parallel_tasks(self.groups * row_groups, 4096_usize.div_ceil(ROW_GROUP * k.max(1)), &work);
        packed
    }
}

struct Pack<'a, T> {
    w: &'a [T],
    to: &'a Disjoint<'a, T>,
    transposed: bool,
    /// Rows, k, and rows including padding.
    sizes: [usize; 3],
}

impl<T: Float> Tasks for Pack<'_, T> {
    type Element = T;
    #[inline(always)]
    fn run<R: Registers>(&self, range: Range<usize>) {
        let [rows, k, padded] = self.sizes;
        let row_groups = padded.div_ceil(ROW_GROUP);
        for index in range {
            let group = index / row_groups;
            let w = &self.w[group * rows * k..][..rows * k];
            for (row, high) in tiles::<R>(index % row_groups * ROW_GROUP, padded) {
                let at = (group * padded + row) * k;
                // SAFETY: each tile is written by one task.
                let tile = unsafe { self.to.slice(at..at + high * k) };
                for (l, column) in tile.chunks_exact_mut(high).enumerate() {
                    for (h, to) in column.iter_mut().enumerate() {
                        let inside = row + h < rows;
                        let at = if self.transposed { l * rows + row + h } else { (row + h) * k + l };
                        *to = if inside { w[at] } else { T::ZERO };
                    }
                }
            }
        }
    }
}

/// `c (rows, width) = packed (rows, k) · b (k, width)`, where `rows` is a multiple of a tile.
#[inline(always)]
fn packed_product<T: Float, R: Registers>([rows, k, width]: [usize; 3], packed: &[T], b: &[T], c: &mut [T]) {
    assert!(packed.len() >= rows * k && b.len() >= k * width && c.len() >= rows * width);
    for first in (0..rows).step_by(ROW_GROUP) {
        for (i, high) in tiles::<R>(first, rows) {
            let a = Operand { start: packed[i * k..].as_ptr(), row: 1, column: high as isize };
            let c = c[i * width..].as_mut_ptr();
            // SAFETY: the lengths were checked above, and rows and columns are whole tiles.
            unsafe { product::<T, R>([high, k, width], a, (b.as_ptr(), width), (c, width), false) };
        }
    }
}

struct Forward<'a, T> {
    all: &'a Im2col<'a>,
    x: &'a [T],
    packed: &'a [T],
    bias: &'a [T],
    y: &'a Disjoint<'a, T>,
}

impl<T: Float> Tasks for Forward<'_, T> {
    type Element = T;
    #[inline(always)]
    fn run<R: Registers>(&self, range: Range<usize>) {
        let Im2col { groups, channels, outputs, rows, width, .. } = *self.all;
        let padded = outputs.next_multiple_of(ROUND);
        let mut memory = scratch::<T>((rows + padded) * width);
        let (columns, sums) = memory.buffer_mut().0.split_at_mut(rows * width);
        for task in range {
            let end = ((task + 1) * width).min(self.all.geometry.pixels());
            let block = self.all.geometry.block(task * width..end);
            for group in 0..groups {
                block.gather::<T, R>(self.x, group * channels..(group + 1) * channels, columns, width);
                // (O, pixels) = (O, C·kh·kw) · (C·kh·kw, pixels)
                packed_product::<T, R>([padded, rows, width], &self.packed[group * padded * rows..], columns, sums);
                for (o, row) in sums.chunks_exact(width).take(outputs).enumerate() {
                    let o = group * outputs + o;
                    // SAFETY: no other task writes these pixels.
                    unsafe { block.write_output(o, row, self.bias[o], self.y) };
                }
            }
        }
    }
}

struct InputGradient<'a, T> {
    all: &'a Im2col<'a>,
    /// The images of one task.
    images: usize,
    dy: &'a [T],
    packed: &'a [T],
    dx: &'a Disjoint<'a, T>,
}

impl<T: Float> Tasks for InputGradient<'_, T> {
    type Element = T;
    #[inline(always)]
    fn run<R: Registers>(&self, range: Range<usize>) {
        let Im2col { groups, channels, outputs, rows, width, geometry } = *self.all;
        let (x, y) = (geometry.x.shape(), geometry.y.shape());
        let padded = rows.next_multiple_of(ROUND);
        let mut memory = scratch::<T>((padded + outputs) * width);
        let (columns, gradients) = memory.buffer_mut().0.split_at_mut(padded * width);
        for task in range {
            let images = task * self.images..((task + 1) * self.images).min(x[0]);
            // dx is dense, with images outermost.
            let image = x[1] * x[2] * x[3];
            // SAFETY: no other task writes these images.
            let dx = unsafe { self.dx.slice(images.start * image..images.end * image) };
            dx.fill(T::ZERO);
            let local = Layout::dense(x.with(0, images.len()), &geometry.x.memory_order().0[..4]);
            let geometry = Geometry { x: &local, ..geometry };
            let end = images.end * y[2] * y[3];
            for pixel in (images.start * y[2] * y[3]..end).step_by(width) {
                let outer = self.all.geometry.block(pixel..(pixel + width).min(end));
                let first = images.start * y[2] * y[3];
                let inner = geometry.block(pixel - first..(pixel + width).min(end) - first);
                for group in 0..groups {
                    outer.read_outputs::<T, R>(self.dy, group * outputs..(group + 1) * outputs, gradients, width);
                    // (C·kh·kw, pixels) = (C·kh·kw, O) · (O, pixels)
                    packed_product::<T, R>(
                        [padded, outputs, width],
                        &self.packed[group * padded * outputs..],
                        gradients,
                        columns,
                    );
                    inner.scatter::<T, R>(columns, group * channels..(group + 1) * channels, dx, width);
                }
            }
        }
    }
}

struct WeightGradient<'a, T> {
    all: &'a Im2col<'a>,
    /// The channels of one task, the resulting number of parts of a group, and the number of chunks of pixels.
    at_once: usize,
    pieces: usize,
    chunks: usize,
    /// The elements of dw.
    len: usize,
    x: &'a [T],
    dy: &'a [T],
    parts: &'a Disjoint<'a, T>,
}

impl<T: Float> Tasks for WeightGradient<'_, T> {
    type Element = T;
    #[inline(always)]
    fn run<R: Registers>(&self, range: Range<usize>) {
        let Im2col { channels, outputs, rows, width, geometry, groups } = *self.all;
        let (cells, lanes) = (rows / channels, T::Vector::<R>::LANES);
        let rows_padded = (cells * self.at_once).next_multiple_of(ROUND);
        let padded = outputs.next_multiple_of(ROUND);
        // Rows at distances of a power of two would evict each other from L1.
        let pitch = padded + LANES;
        let mut memory = scratch::<T>(rows_padded * width + (padded + pitch) * width + rows_padded * padded);
        let (columns, rest) = memory.buffer_mut().0.split_at_mut(rows_padded * width);
        let (gradients, rest) = rest.split_at_mut(padded * width);
        let (transposed, sums) = rest.split_at_mut(pitch * width);
        columns.fill(T::ZERO);
        gradients.fill(T::ZERO);
        let blocks = geometry.pixels().div_ceil(width);
        let mut square = [T::ZERO; 256];
        for task in range {
            let (piece, group, chunk) = (task % self.pieces, task / self.pieces % groups, task / self.pieces / groups);
            let first = piece * self.at_once;
            let count = self.at_once.min(channels - first);
            sums.fill(T::ZERO);
            for block in blocks * chunk / self.chunks..blocks * (chunk + 1) / self.chunks {
                let block = geometry.block(block * width..((block + 1) * width).min(geometry.pixels()));
                let from = group * channels + first;
                block.gather::<T, R>(self.x, from..from + count, columns, width);
                block.read_outputs::<T, R>(self.dy, group * outputs..(group + 1) * outputs, gradients, width);
                for o in (0..padded).step_by(lanes) {
                    for j in (0..width).step_by(lanes) {
                        // SAFETY: both are padded to whole squares.
                        unsafe {
                            T::Vector::<R>::transpose(
                                gradients[o * width + j..].as_ptr(),
                                width as isize,
                                transposed[j * pitch + o..].as_mut_ptr(),
                                pitch,
                            );
                        };
                    }
                }
                let a = Operand { start: columns.as_ptr(), row: width as isize, column: 1 };
                // (C·kh·kw, O) += (C·kh·kw, pixels) · (pixels, O)
                // SAFETY: all three are padded to whole tiles.
                unsafe {
                    product::<T, R>(
                        [rows_padded, width, padded],
                        a,
                        (transposed.as_ptr(), pitch),
                        (sums.as_mut_ptr(), padded),
                        true,
                    );
                };
            }
            let start = chunk * self.len + (group * outputs) * rows + first * cells;
            for k in (0..count * cells).step_by(lanes) {
                let high = lanes.min(count * cells - k);
                for o in (0..outputs).step_by(lanes) {
                    let wide = lanes.min(outputs - o);
                    transpose::<T, R>(&sums[k * padded + o..], (high, padded), wide, &mut square);
                    for (i, row) in square.chunks_exact(lanes).take(wide).enumerate() {
                        let at = start + (o + i) * rows + k;
                        // SAFETY: no other task writes these channels' part of each row.
                        unsafe { self.parts.slice(at..at + high) }.copy_from_slice(&row[..high]);
                    }
                }
            }
        }
    }
}
