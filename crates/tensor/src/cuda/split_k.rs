//! Split-K: for few results with long sums, each sum is split among several blocks, whose partial results are then added.

use chainrule_kernels::Family;

use super::bf16::Stored;
use crate::element::Float;
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid, THREADS, checked};
use crate::tensor::{TensorOf, address};

/// Rows and columns of the result per block: TILE of the kernels.
pub(super) const TILE: usize = 64;
/// The terms of a sum that a block loads at a time: DEPTH of the kernels.
const DEPTH: usize = 16;
/// The number of blocks that occupies a large GPU.
const BUSY: usize = 256;
/// The maximum number of threads that add the splits of one element, and the number of threads that occupies a large GPU.
const MAX_ROWS: usize = 32;
const ENOUGH: usize = 1 << 17;
/// The minimum number of terms per split.
const MIN_TERMS: usize = 256;

/// The number of splits of a sum's `terms` terms, for a result of `tiles` tiles: a function of the shapes alone.
pub(super) fn split_count(tiles: usize, terms: usize) -> usize {
    let wanted = (BUSY / tiles.max(1)).min(terms / MIN_TERMS).max(1);
    let pieces = terms.div_ceil(DEPTH).max(1);
    // No split is empty.
    pieces.div_ceil(pieces.div_ceil(wanted))
}

/// The grid for the tiles of `layers` results of m × n elements, each of `splits` sums. Tiles and layers share the first axis
/// (`place_of_block` of the kernels), since the others are limited to 65535 blocks.
pub(super) fn tiles([m, n]: [usize; 2], layers: usize, splits: usize) -> Grid {
    let blocks = checked(m.div_ceil(TILE) * n.div_ceil(TILE) * layers);
    Grid { blocks: [blocks, splits as u32, 1], threads: THREADS, shared: 0 }
}

/// Adds partial results (splits, …) in a fixed order, plus a bias (address, stride, columns) for each column, into `y`; the
/// elements after y's go to `rest`, if given.
pub(super) fn add_splits<T: Float>(
    gpu: &'static Gpu,
    y: &TensorOf<T>,
    rest: Option<&TensorOf<T>>,
    partial: &TensorOf<T>,
    (bias, bias_stride, columns): (u64, i64, usize),
) {
    let numel = y.numel() + rest.map_or(0, TensorOf::numel);
    let (stored, splits) = (Stored::like(y), partial.shape()[0]);
    // A function of the shapes alone, so that the order of summation is fixed.
    let mut rows = 1;
    while rows < MAX_ROWS && 2 * rows <= splits && 2 * rows * numel <= ENOUGH {
        rows *= 2;
    }
    let (grid, body) = (Grid::elements(numel * rows), checked(y.numel()));
    let (numel, splits, rows, columns) = (checked(numel), splits as i32, rows as i32, columns as i32);
    let (to, to_rest, from) = (stored.address(y), rest.map_or(0, address), address(partial));
    let arguments: [&dyn Argument; 10] =
        [&to, &to_rest, &body, &from, &numel, &splits, &rows, &bias, &bias_stride, &columns];
    // SAFETY: each partial result has y's elements followed by those of `rest`, and the partial results are contiguous.
    unsafe { gpu.launch(Family::SplitK, ("add_splits", stored.0), grid, arguments) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the first axis of a grid may have more than 65535 blocks.
    #[test]
    fn tiles_and_layers_are_on_the_first_axis() {
        for (size, layers, splits, blocks) in [
            ([65, 129], 5, 3, [2 * 3 * 5, 3, 1]),
            // Batched products, the groups of a convolution and of its weight gradient, rows, and columns.
            ([1, 1], 70_000, 1, [70_000, 1, 1]),
            ([1, 9], 70_000, 7, [70_000, 7, 1]),
            ([70_000 * TILE, 1], 1, 1, [70_000, 1, 1]),
            ([1, 70_000 * TILE + 1], 2, 256, [2 * 70_001, 256, 1]),
            ([0, 64], 3, 1, [0, 1, 1]),
        ] {
            assert_eq!(tiles(size, layers, splits).blocks, blocks);
        }
        // Splits of a product's sums, or of a group's, are few whatever the shape.
        assert!([1, 7, 300, 70_000].iter().all(|&tiles| split_count(tiles, usize::MAX >> 8) <= BUSY));
    }
}
