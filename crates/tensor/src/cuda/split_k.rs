//! Split-K: a sum of many terms for few results is divided among blocks, whose partial results are then added.

use chainrule_kernels::Family;

use super::bf16::Stored;
use crate::element::Float;
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid, THREADS, checked};
use crate::tensor::{TensorOf, address};

/// Rows and columns of a result that a block makes: TILE of the kernels.
pub(super) const TILE: usize = 64;
/// The terms of a sum that a block has at a time: DEPTH of the kernels.
const DEPTH: usize = 16;
/// Blocks that keep a large GPU busy.
const BUSY: usize = 256;
/// The most threads that share the splits of an element, and the threads that keep a large GPU busy.
const MAX_ROWS: usize = 32;
const ENOUGH: usize = 1 << 17;
/// The least terms of a sum that are worth a block.
const MIN_TERMS: usize = 256;

/// Among how many blocks the terms of a sum are divided, for a result of so many tiles: by shapes alone.
pub(super) fn splits(tiles: usize, terms: usize) -> usize {
    let wanted = (BUSY / tiles.max(1)).min(terms / MIN_TERMS).max(1);
    let pieces = terms.div_ceil(DEPTH).max(1);
    // No split is left without terms.
    pieces.div_ceil(pieces.div_ceil(wanted))
}

/// Blocks for the tiles of an m × n result, `layers` of them.
pub(super) fn tiles(m: usize, n: usize, layers: usize) -> Grid {
    assert!(n <= TILE * 65535, "a product on a GPU has at most {} columns, not {n}", TILE * 65535);
    Grid { blocks: [m.div_ceil(TILE) as u32, n.div_ceil(TILE) as u32, layers as u32], threads: THREADS }
}

/// The sum of partial results (splits, …) in a fixed order, plus a bias (address, stride, columns) for each column: `y`, and
/// if there is another result, what comes after y's elements.
pub(super) fn add_splits<T: Float>(
    gpu: &'static Gpu,
    y: &TensorOf<T>,
    rest: Option<&TensorOf<T>>,
    partial: &TensorOf<T>,
    (bias, bias_stride, columns): (u64, i64, usize),
) {
    let numel = y.numel() + rest.map_or(0, TensorOf::numel);
    let (stored, splits) = (Stored::like(y), partial.shape()[0]);
    // By shapes alone, so that the order is.
    let mut rows = 1;
    while rows < MAX_ROWS && 2 * rows <= splits && 2 * rows * numel <= ENOUGH {
        rows *= 2;
    }
    let (grid, body) = (Grid::elements(numel * rows), checked(y.numel()));
    let (numel, splits, rows, columns) = (checked(numel), splits as i32, rows as i32, columns as i32);
    let (to, to_rest, from) = (stored.address(y), rest.map_or(0, address), address(partial));
    let arguments: [&dyn Argument; 10] =
        [&to, &to_rest, &body, &from, &numel, &splits, &rows, &bias, &bias_stride, &columns];
    // SAFETY: the partial results are y's elements and the rest's, one result behind the other.
    unsafe { gpu.launch(Family::Product, ("add_splits", stored.0), grid, arguments) }
}
