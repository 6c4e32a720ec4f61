//! Convolution by Winograd's algorithm F(4×4, 3×3): a tile of 4×4 outputs takes 36 multiplications for each pair of
//! channels instead of 144.
//!
//! Tiles of 6×6 pixels, overlapping by two, and the kernels are transformed to values at 36 points. At each point a matrix
//! product sums over the channels, and the products are transformed back. The transforms are linear, so the gradients have
//! the same form: in the input, a convolution with rotated kernels; in the weight, the adjoint of each transform around a
//! product over tiles (`weight`).
//!
//! The transforms' factors of up to 8² cost accuracy: errors are up to about ten times those of plain sums of products
//! (bounds in `tests`), but still 1e-5 of the largest result. The algorithm is therefore used for `f32` only, where it is
//! faster. An infinity or NaN propagates to every output of its tile.

#![expect(clippy::inline_always, reason = "loops are compiled with the features of the variant they are inlined into")]

mod strip;
#[cfg(test)]
mod tests;
mod transform;
mod weight;

use std::ops::Range;

use self::strip::{Grid, Pixels};
use self::transform::{ALL, OfPixels, OfWeights, POINTS, TILE, ToResults, both};
pub(super) use self::weight::weight_gradient;
use super::copies::transpose;
use super::scratch;
use crate::cpu::product::{Operand, padded_rows, product, tile_columns};
use crate::cpu::simd::{Registers, Vector};
use crate::cpu::tasks::{Tasks, parallel_tasks};
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::Disjoint;
use crate::shape::Shape;
use crate::shape_rules::Conv2dOptions;
use crate::tensor::TensorOf;

/// The minimum numbers of channels on either side, of pairs of channels and of tiles for which the transforms pay off.
const CHANNELS: usize = 16;
const PAIRS: usize = 1024;
const TILES: usize = 16;
/// Bytes of the transformed tiles of a task: a part of the L2 cache.
const BLOCK_BYTES: usize = 640 << 10;
/// The maximum number of output channels per task.
const OUTPUTS: usize = 128;
/// Channels are padded to whole registers, and tiles to whole tiles of a product, at any level of CPU features.
const ROUND: usize = 16;

/// Whether a convolution of x (N,C,H,W) with w (O,C,kh,kw) and result y (N,O,oh,ow) uses this algorithm.
pub(super) fn applies<T: Float>(w: Shape, options: Conv2dOptions, y: Shape) -> bool {
    let Conv2dOptions { stride, padding, dilation, groups } = options;
    let grid = Grid::new(y[0], [y[2], y[3]]);
    size_of::<T>() == size_of::<f32>()
        && w[2..] == [3, 3]
        && (stride, dilation, groups) == ([1, 1], [1, 1], 1)
        && padding[0] <= 2
        && padding[1] <= 2
        && w[0] >= CHANNELS
        && w[1] >= CHANNELS
        && w[0] * w[1] >= PAIRS
        && grid.strips() * grid.across >= TILES
}

/// `y[n,o] = b[o] + Σ_c x[n,c] ⋆ w(o, c)`, where x is padded with zeros.
pub(super) struct Correlation<'a, T> {
    pub(super) x: &'a TensorOf<T>,
    /// (O,C,3,3), or (C,O,3,3) and rotated by 180° if `adjoint`.
    pub(super) w: &'a TensorOf<T>,
    pub(super) adjoint: bool,
    pub(super) bias: Option<&'a TensorOf<T>>,
    pub(super) padding: [usize; 2],
}

impl<T: Float> Correlation<'_, T> {
    /// Writes y (N,O,oh,ow).
    pub(super) fn write(&self, y: &mut [T], layout: &Layout) {
        let shape = layout.shape();
        let (outputs, channels) = (shape[1], self.x.shape()[1]);
        let grid = Grid::new(shape[0], [shape[2], shape[3]]);
        let (outputs_padded, channels_padded) = (outputs.next_multiple_of(2 * ROUND), channels.next_multiple_of(ROUND));
        let w = self.w.contiguous();
        let weights =
            Weights { w: w.as_slice().expect("it is contiguous"), sizes: [outputs, channels], adjoint: self.adjoint };
        // If all tiles are in one product, each weight is used once. It is transformed just before use, so that the
        // transformed weights, four times as large, stay in the cache.
        let once = grid.strips() * grid.across <= 4 * ROUND;
        let mut transformed = scratch(if once { 0 } else { ALL * channels * outputs_padded });
        if !once {
            let to = Disjoint::new(transformed.buffer_mut().0);
            // Blocks of as many outputs as the widest register has lanes; levels with narrower registers take several steps.
            let work = TransformWeights { weights: &weights, to: &to, padded: outputs_padded };
            parallel_tasks(outputs_padded / ROUND, 4096_usize.div_ceil(ROUND * channels), &work);
        }
        let mut bias = scratch(outputs_padded);
        for (o, slot) in bias.buffer_mut().0.iter_mut().enumerate() {
            *slot = self.bias.filter(|_| o < outputs).map_or(T::ZERO, |b| b.at(&[o]));
        }
        let outputs_at_once = if once { 2 * ROUND } else { outputs_padded.min(OUTPUTS) };
        let strip_bytes = ALL * grid.across * (channels_padded + outputs_at_once) * size_of::<T>();
        // As many strips as fit, but few enough that there is work for several threads.
        let most = (grid.strips() * outputs_padded.div_ceil(outputs_at_once)).div_ceil(16).max(1);
        let enough = (2 * ROUND).div_ceil(grid.across);
        let fitting = (BLOCK_BYTES / strip_bytes).max(enough).min(most.max(enough));
        let strips = if once { grid.strips() } else { fitting.min(grid.strips()) };
        let work = Work {
            x: (self.x.buffer(), Pixels::new(self.x.layout())),
            y: (&Disjoint::new(y), Pixels::new(layout)),
            weights: if once { Err(&weights) } else { Ok(transformed.buffer()) },
            bias: bias.buffer(),
            padding: self.padding,
            grid,
            strips,
            channels: [channels, channels_padded],
            outputs: [outputs, outputs_padded, outputs_at_once],
        };
        let tasks = grid.strips().div_ceil(strips) * outputs_padded.div_ceil(outputs_at_once);
        parallel_tasks(tasks, 1, &work);
    }
}

/// Weights before their transform.
struct Weights<'a, T> {
    w: &'a [T],
    /// Numbers of outputs and channels.
    sizes: [usize; 2],
    adjoint: bool,
}

impl<T: Float> Weights<'_, T> {
    /// Writes the weights of some outputs, the first of which is `base`, as
    /// `U[point][panel][channel][output of the panel]`; a panel is as wide as a product's tile, all panels together `padded`.
    ///
    /// # Safety
    /// There is no other reference to these elements of `to`.
    #[inline(always)]
    unsafe fn transform<R: Registers>(&self, range: Range<usize>, to: &Disjoint<T>, (base, padded): (usize, usize)) {
        let [outputs, channels] = self.sizes;
        let (lanes, panel) = (T::Vector::<R>::LANES, tile_columns::<T, R>());
        let mut rotated = scratch::<T>(9 * channels * lanes);
        let rotated = rotated.buffer_mut().0;
        for o in range.step_by(lanes) {
            let count = outputs.saturating_sub(o).min(lanes);
            if count == 0 {
                rotated.fill(T::ZERO);
            } else if self.adjoint {
                for c in 0..channels {
                    let from = &self.w[(c * outputs + o) * 9..];
                    transpose::<T, R>(from, (count, 9), 9, &mut rotated[9 * c * lanes..][..9 * lanes]);
                }
            } else {
                transpose::<T, R>(&self.w[o * channels * 9..], (count, channels * 9), channels * 9, rotated);
            }
            for c in 0..channels {
                let mut g = [[T::Vector::<R>::splat(T::ZERO); 3]; 3];
                for (k, from) in rotated[9 * c * lanes..][..9 * lanes].chunks_exact(lanes).enumerate() {
                    let k = if self.adjoint { 8 - k } else { k };
                    // SAFETY: the chunk is one register long.
                    g[k / 3][k % 3] = unsafe { T::Vector::<R>::load(from.as_ptr()) };
                }
                let u = both::<T, R, OfWeights, 3, POINTS>(g);
                for point in 0..ALL {
                    let o = o - base;
                    let at = point * channels * padded + (o / panel * channels + c) * panel + o % panel;
                    // SAFETY: as promised by the caller.
                    let place = unsafe { to.slice(at..at + lanes) };
                    // SAFETY: the slice is one register long.
                    unsafe { u[point / POINTS][point % POINTS].store(place.as_mut_ptr()) };
                }
            }
        }
    }
}

struct TransformWeights<'a, 'b, T> {
    weights: &'a Weights<'b, T>,
    to: &'a Disjoint<'a, T>,
    padded: usize,
}

impl<T: Float> Tasks for TransformWeights<'_, '_, T> {
    type Element = T;

    #[inline(always)]
    fn run<R: Registers>(&self, tasks: Range<usize>) {
        let outputs = tasks.start * ROUND..tasks.end * ROUND;
        // SAFETY: ranges of outputs do not overlap.
        unsafe { self.weights.transform::<R>(outputs, self.to, (0, self.padded)) }
    }
}

/// A correlation split into tasks: some strips times some outputs.
struct Work<'a, T> {
    x: (&'a [T], Pixels),
    y: (&'a Disjoint<'a, T>, Pixels),
    /// Transformed, or to be transformed by each task for its outputs.
    weights: Result<&'a [T], &'a Weights<'a, T>>,
    bias: &'a [T],
    padding: [usize; 2],
    grid: Grid,
    strips: usize,
    /// Channels, without and with padding.
    channels: [usize; 2],
    /// Outputs, without and with padding, and outputs per task.
    outputs: [usize; 3],
}

impl<T: Float> Tasks for Work<'_, T> {
    type Element = T;

    #[inline(always)]
    fn run<R: Registers>(&self, tasks: Range<usize>) {
        let [channels, channels_padded] = self.channels;
        let [outputs, outputs_padded, outputs_at_once] = self.outputs;
        let (lanes, columns) = (T::Vector::<R>::LANES, self.grid.columns());
        let tiles_padded = padded_rows::<R>(self.strips * self.grid.across);
        let own = if self.weights.is_ok() { 0 } else { ALL * channels * outputs_at_once };
        let sizes =
            [ALL * tiles_padded * channels_padded, ALL * tiles_padded * outputs_at_once, POINTS * columns * lanes, own];
        let mut memory = scratch::<T>(sizes.iter().sum::<usize>() + 16 * columns);
        let (values, rest) = memory.buffer_mut().0.split_at_mut(sizes[0]);
        let (products, rest) = rest.split_at_mut(sizes[1]);
        let (strip, rest) = rest.split_at_mut(sizes[2]);
        let (own_weights, lines) = rest.split_at_mut(sizes[3]);
        values.fill(T::ZERO);
        let blocks = outputs_padded.div_ceil(outputs_at_once);
        let mut read = None;
        for task in tasks {
            let (block, first) = (task % blocks, task / blocks * self.strips);
            let strips = first..(first + self.strips).min(self.grid.strips());
            // The next task may have the same strips and other outputs.
            if read != Some(first) {
                for c in (0..channels).step_by(lanes) {
                    let at = (c..(c + lanes).min(channels), c);
                    transform_pixels::<T, R>(
                        self,
                        strips.clone(),
                        at,
                        [tiles_padded, channels_padded],
                        (values, strip, lines),
                    );
                }
                read = Some(first);
            }
            let from = block * outputs_at_once;
            let count = outputs_at_once.min(outputs_padded - from);
            let (weights, padded, skipped) = match self.weights {
                Ok(all) => (all, outputs_padded, from),
                Err(weights) => {
                    // SAFETY: the memory is exclusive to this task.
                    unsafe {
                        weights.transform::<R>(
                            from..from + count,
                            &Disjoint::new(own_weights),
                            (from, outputs_at_once),
                        );
                    };
                    (&*own_weights, outputs_at_once, 0)
                }
            };
            let (tiles, panel) = (strips.len() * self.grid.across, tile_columns::<T, R>());
            let rows = padded_rows::<R>(tiles);
            for point in 0..ALL {
                let a = Operand {
                    start: values[point * tiles_padded * channels_padded..].as_ptr(),
                    row: channels_padded as isize,
                    column: 1,
                };
                for o in (0..count).step_by(panel) {
                    let b = weights[point * channels * padded + (skipped + o) * channels..].as_ptr();
                    let c = products[point * tiles_padded * outputs_at_once + o..].as_mut_ptr();
                    // (tiles, O) = (tiles, C) · (C, O)
                    // SAFETY: all three are padded to whole tiles; the products are exclusive to this task.
                    unsafe { product::<T, R>([rows, channels, panel], a, (b, panel), (c, outputs_at_once), false) };
                }
            }
            for o in (from..(from + count).min(outputs)).step_by(lanes) {
                for (i, index) in strips.clone().enumerate() {
                    // SAFETY: the bias is padded to whole registers.
                    let bias = unsafe { T::Vector::<R>::load(self.bias[o..o + lanes].as_ptr()) };
                    for tile in 0..self.grid.across {
                        let at = (i * self.grid.across + tile) * outputs_at_once + o - from;
                        let m = load_points::<T, R>(products, at, tiles_padded * outputs_at_once);
                        let y = both::<T, R, ToResults, POINTS, TILE>(m);
                        for (r, row) in y.into_iter().enumerate() {
                            for (q, y) in row.into_iter().enumerate() {
                                let place = &mut strip[(r * columns + TILE * tile + q) * lanes..][..lanes];
                                // SAFETY: the slice is one register long.
                                unsafe { y.add(bias).store(place.as_mut_ptr()) };
                            }
                        }
                    }
                    let (image, row) = (index / self.grid.down, index % self.grid.down * TILE);
                    let channels = o..(o + lanes).min(outputs);
                    // SAFETY: no other task writes these outputs of this strip.
                    unsafe { self.y.1.write::<T, R>(self.y.0, (image, channels), row, columns, (lines, strip)) };
                }
            }
        }
    }
}

/// The values of one tile at all points, with stride `step`.
#[inline(always)]
fn load_points<T: Float, R: Registers>(from: &[T], at: usize, step: usize) -> [[T::Vector<R>; POINTS]; POINTS] {
    let mut m = [[T::Vector::<R>::splat(T::ZERO); POINTS]; POINTS];
    for point in 0..ALL {
        let place = &from[at + point * step..][..T::Vector::<R>::LANES];
        // SAFETY: the slice is one register long.
        m[point / POINTS][point % POINTS] = unsafe { T::Vector::<R>::load(place.as_ptr()) };
    }
    m
}

/// Reads some channels of some strips and stores their transforms: `values[point][tile][channel]`.
#[inline(always)]
fn transform_pixels<T: Float, R: Registers>(
    work: &Work<T>,
    strips: Range<usize>,
    (channels, at): (Range<usize>, usize),
    [tiles_padded, channels_padded]: [usize; 2],
    (values, strip, lines): (&mut [T], &mut [T], &mut [T]),
) {
    let (lanes, columns) = (T::Vector::<R>::LANES, work.grid.columns());
    let (buffer, images) = work.x;
    for (i, index) in strips.enumerate() {
        let (image, row) =
            (index / work.grid.down, (index % work.grid.down * TILE) as isize - work.padding[0] as isize);
        let from = (image, channels.clone());
        images.read::<T, R>(buffer, from, (row, POINTS), (work.padding[1], columns), (lines, strip));
        for tile in 0..work.grid.across {
            let mut d = [[T::Vector::<R>::splat(T::ZERO); POINTS]; POINTS];
            for (r, row) in d.iter_mut().enumerate() {
                for (q, d) in row.iter_mut().enumerate() {
                    let place = &strip[(r * columns + TILE * tile + q) * lanes..][..lanes];
                    // SAFETY: the slice is one register long.
                    *d = unsafe { T::Vector::<R>::load(place.as_ptr()) };
                }
            }
            store_points(
                both::<T, R, OfPixels, POINTS, POINTS>(d),
                values,
                (i * work.grid.across + tile) * channels_padded + at,
                tiles_padded * channels_padded,
            );
        }
    }
}

/// Stores the values of one tile at all points, with stride `step`.
#[inline(always)]
fn store_points<V: Vector>(values: [[V; POINTS]; POINTS], to: &mut [V::Element], at: usize, step: usize) {
    for point in 0..ALL {
        let place = &mut to[at + point * step..][..V::LANES];
        // SAFETY: the slice is one register long.
        unsafe { values[point / POINTS][point % POINTS].store(place.as_mut_ptr()) };
    }
}
