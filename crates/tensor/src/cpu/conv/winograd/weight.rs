//! The gradient in the weight: the adjoints of the transforms around a product over tiles.

#![expect(clippy::inline_always, reason = "loops are compiled with the features of the variant they are inlined into")]

use std::ops::Range;

use super::super::copies::transpose;
use super::super::{add_pairwise, scratch};
use super::strip::{Grid, Pixels};
use super::transform::{ALL, OfGradients, OfPixels, POINTS, TILE, ToWeightGradients, Transform, both};
use super::{ROUND, load_points, store_points};
use crate::cpu::product::{Operand, product};
use crate::cpu::simd::{Registers, Vector};
use crate::cpu::tasks::{Tasks, parallel_tasks};
use crate::element::Float;
use crate::parallel::Disjoint;
use crate::tensor::TensorOf;

/// The maximum number of channels on either side of a task's product: smaller products stay in the L2 cache, but transform
/// each tile more often.
const SIDE: [usize; 2] = [80, 128];
/// The approximate number of tiles per product, whose result is added to the sums.
const TILES: usize = 32;
/// The minimum number of tasks, for all threads to have work if there are few channels.
const TASKS: usize = 8;

/// `dw[o,c] = Σₙ dy[n,o] ⋆ x[n,c]` for x (N,C,H,W) and dy (N,O,oh,ow), into dw (O,C,3,3) in row-major order.
///
/// Strips are summed in chunks that depend on the shape alone, and chunks pairwise. Beyond the rows and columns that are `used`, dy
/// is 0: tiles there are left out, so x must be finite unless all are used (0·∞ is NaN).
pub(in super::super) fn weight_gradient<T: Float>(
    [x, dy]: [&TensorOf<T>; 2],
    padding: [usize; 2],
    used: [usize; 2],
    dw: &mut [T],
) {
    let (channels, outputs) = (x.shape()[1], dy.shape()[1]);
    let all = Grid::new(dy.shape()[0], [dy.shape()[2], dy.shape()[3]]);
    let most = SIDE[usize::from(channels.min(outputs) >= SIDE[1])];
    let blocks = [channels, outputs].map(|len| len.div_ceil(most));
    // Blocks of nearly equal size in whole registers: 80 are 48 and 32.
    let sides = [0, 1].map(|i| [channels, outputs][i].div_ceil(blocks[i]).next_multiple_of(ROUND));
    let chunks = TASKS.div_ceil(blocks[0] * blocks[1]).min(all.strips());
    let outputs_padded = outputs.next_multiple_of(ROUND);
    let len = 9 * channels * outputs_padded;
    let mut partials = scratch(chunks * len);
    let partials = partials.buffer_mut().0;
    let work = Work {
        images: [(x.buffer(), Pixels::new(x.layout())), (dy.buffer(), Pixels::new(dy.layout()))],
        padding,
        all,
        grid: Grid::new(all.images, used),
        chunks,
        blocks,
        sides,
        sizes: [channels, outputs],
        outputs_padded,
        parts: &Disjoint::new(partials),
    };
    parallel_tasks(chunks * blocks[0] * blocks[1], 1, &work);
    add_pairwise(partials, len);
    // (O, 9·C) from (9·C, O)
    let out = Disjoint::new(dw);
    let work = Transpose { sums: &partials[..len], outputs_padded, out: &out, len: 9 * channels, outputs };
    parallel_tasks(outputs.div_ceil(ROUND), 4096_usize.div_ceil(ROUND * channels), &work);
}

/// Writes the columns of the sums as rows of the result, [`ROUND`] in a task.
struct Transpose<'a, T> {
    sums: &'a [T],
    outputs_padded: usize,
    out: &'a Disjoint<'a, T>,
    len: usize,
    outputs: usize,
}

impl<T: Float> Tasks for Transpose<'_, T> {
    type Element = T;

    #[inline(always)]
    fn run<R: Registers>(&self, tasks: Range<usize>) {
        let outputs = tasks.start * ROUND..(tasks.end * ROUND).min(self.outputs);
        let lanes = T::Vector::<R>::LANES;
        let mut transposed = [T::ZERO; 256];
        for k in (0..self.len).step_by(lanes) {
            let rows = lanes.min(self.len - k);
            for o in outputs.clone().step_by(lanes) {
                let columns = lanes.min(outputs.end - o);
                transpose::<T, R>(
                    &self.sums[k * self.outputs_padded + o..],
                    (rows, self.outputs_padded),
                    columns,
                    &mut transposed,
                );
                for (i, row) in transposed.chunks_exact(lanes).take(columns).enumerate() {
                    let at = (o + i) * self.len + k;
                    // SAFETY: no other task writes these outputs.
                    unsafe { self.out.slice(at..at + rows) }.copy_from_slice(&row[..rows]);
                }
            }
        }
    }
}

struct Work<'a, T> {
    /// x and dy.
    images: [(&'a [T], Pixels); 2],
    padding: [usize; 2],
    /// The tiles of all of dy, and those that are used.
    all: Grid,
    grid: Grid,
    chunks: usize,
    /// Blocks of channels and of outputs, and their lengths.
    blocks: [usize; 2],
    sides: [usize; 2],
    /// Numbers of channels and outputs.
    sizes: [usize; 2],
    outputs_padded: usize,
    /// The sums of each chunk.
    parts: &'a Disjoint<'a, T>,
}

impl<T: Float> Tasks for Work<'_, T> {
    type Element = T;

    #[inline(always)]
    fn run<R: Registers>(&self, tasks: Range<usize>) {
        let (lanes, columns, across) = (T::Vector::<R>::LANES, self.grid.columns(), self.grid.across);
        let sides = self.sides;
        let strips_at_once = TILES.div_ceil(across);
        let tiles = strips_at_once * across;
        let sizes =
            [ALL * tiles * sides[0], ALL * tiles * sides[1], ALL * sides[0] * sides[1], POINTS * columns * lanes];
        let mut memory = scratch::<T>(sizes.iter().sum::<usize>() + 16 * columns);
        let (x, rest) = memory.buffer_mut().0.split_at_mut(sizes[0]);
        let (dy, rest) = rest.split_at_mut(sizes[1]);
        let (sums, rest) = rest.split_at_mut(sizes[2]);
        let (strip, lines) = rest.split_at_mut(sizes[3]);
        for task in tasks {
            let block = [task % self.blocks[0], task / self.blocks[0] % self.blocks[1]];
            let chunk = task / self.blocks[0] / self.blocks[1];
            let of =
                |i: usize| (block[i] * sides[i]).min(self.sizes[i])..((block[i] + 1) * sides[i]).min(self.sizes[i]);
            let (channels, outputs) = (of(0), of(1));
            let padded = [&channels, &outputs].map(|range| range.len().next_multiple_of(ROUND));
            let (mut first, end) = (self.start(chunk), self.start(chunk + 1));
            if first == end {
                sums.fill(T::ZERO);
            }
            let mut accumulate = false;
            while first < end {
                let strips = first..(first + strips_at_once).min(end);
                for c in channels.clone().step_by(lanes) {
                    let at = (c..(c + lanes).min(channels.end), c - channels.start);
                    self.transform::<R, OfPixels, POINTS>(0, strips.clone(), at, [tiles, sides[0]], (x, strip, lines));
                }
                for o in outputs.clone().step_by(lanes) {
                    let at = (o..(o + lanes).min(outputs.end), o - outputs.start);
                    self.transform::<R, OfGradients, TILE>(
                        1,
                        strips.clone(),
                        at,
                        [tiles, sides[1]],
                        (dy, strip, lines),
                    );
                }
                for point in 0..ALL {
                    let a =
                        Operand { start: x[point * tiles * sides[0]..].as_ptr(), row: 1, column: sides[0] as isize };
                    let b = dy[point * tiles * sides[1]..].as_ptr();
                    let c = sums[point * sides[0] * sides[1]..].as_mut_ptr();
                    // (C, O) += (C, tiles) · (tiles, O)
                    // SAFETY: all three are padded to whole registers and to the rows of a tile.
                    unsafe {
                        product::<T, R>(
                            [padded[0], strips.len() * across, padded[1]],
                            a,
                            (b, sides[1]),
                            (c, sides[1]),
                            accumulate,
                        );
                    };
                }
                accumulate = true;
                first = strips.end;
            }
            for c in channels.clone() {
                for o in outputs.clone().step_by(lanes) {
                    let at = (c - channels.start) * sides[1] + o - outputs.start;
                    let dg =
                        both::<T, R, ToWeightGradients, POINTS, 3>(load_points::<T, R>(sums, at, sides[0] * sides[1]));
                    for (k, dg) in dg.into_iter().flatten().enumerate() {
                        let at = ((chunk * self.sizes[0] + c) * 9 + k) * self.outputs_padded + o;
                        // SAFETY: no other task writes these channels and outputs of this chunk.
                        let place = unsafe { self.parts.slice(at..at + lanes) };
                        // SAFETY: the slice is one register long.
                        unsafe { dg.store(place.as_mut_ptr()) };
                    }
                }
            }
        }
    }
}

impl<T: Float> Work<'_, T> {
    /// The first strip of a chunk, which does not depend on what is used.
    fn start(&self, chunk: usize) -> usize {
        let strip = self.all.strips() * chunk / self.chunks;
        strip / self.all.down * self.grid.down + (strip % self.all.down).min(self.grid.down)
    }

    /// Reads some channels of some strips of x or of dy and stores their transforms: `values[point][tile][channel]`.
    #[inline(always)]
    fn transform<R: Registers, F: Transform<T, R, M, POINTS>, const M: usize>(
        &self,
        which: usize,
        strips: Range<usize>,
        (channels, at): (Range<usize>, usize),
        [tiles_padded, channels_padded]: [usize; 2],
        (values, strip, lines): (&mut [T], &mut [T], &mut [T]),
    ) {
        let (lanes, columns) = (T::Vector::<R>::LANES, self.grid.columns());
        let (buffer, images) = self.images[which];
        let padding = if which == 0 { self.padding } else { [0, 0] };
        for (i, index) in strips.enumerate() {
            let (image, row) = (index / self.grid.down, (index % self.grid.down * TILE) as isize - padding[0] as isize);
            images.read::<T, R>(buffer, (image, channels.clone()), (row, M), (padding[1], columns), (lines, strip));
            for tile in 0..self.grid.across {
                let mut d = [[T::Vector::<R>::splat(T::ZERO); M]; M];
                for (r, row) in d.iter_mut().enumerate() {
                    for (q, d) in row.iter_mut().enumerate() {
                        let place = &strip[(r * columns + TILE * tile + q) * lanes..][..lanes];
                        // SAFETY: the slice is one register long.
                        *d = unsafe { T::Vector::<R>::load(place.as_ptr()) };
                    }
                }
                let at = (i * self.grid.across + tile) * channels_padded + at;
                store_points(both::<T, R, F, M, POINTS>(d), values, at, tiles_padded * channels_padded);
            }
        }
    }
}
