//! The tiles of products on tensor cores and the grids that compute them: functions of the shapes alone, so that the order of
//! summation is fixed.

use std::sync::OnceLock;

use crate::gpu::launch::Grid;

/// TILE_THREADS of `gemm.cuh`.
const THREADS: u32 = 128;
/// The number of blocks that occupies a large GPU.
const BUSY: usize = 256;
/// The minimum number of instructions along K per split.
const MIN_DEPTH: usize = 16;
/// What writing and adding a block's partial results costs, in steps of its main loop.
const PARTIAL: usize = 8;
/// The most splits beyond those that fill a large GPU once.
const FEW: usize = 8;

/// A `Shape` of `gemm.cuh`: how a block computes a tile of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) rows: usize,
    columns: usize,
    /// The extent of a step along K, in instructions, each of 32 bytes of an operand's line.
    depth: usize,
    stages: usize,
}

pub(super) const NARROW: Tile = Tile { rows: 128, columns: 64, depth: 2, stages: 3 };
pub(super) const WIDE: Tile = Tile { rows: 128, columns: 128, depth: 4, stages: 3 };

/// The results that a launch computes: their number, the rows and columns of each, and the terms of each element and their
/// size.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) results: usize,
    pub(super) size: [usize; 2],
    pub(super) terms: usize,
    pub(super) bytes: usize,
}

impl Tile {
    /// The tile for these results.
    ///
    /// A wide tile reads 1.5 times less from L2 per product, which is what limits a narrow one, but half of it is unused by 64
    /// columns, and two blocks of it, which hide each other's latencies, occupy all registers of a multiprocessor. Therefore
    /// there must be blocks for most of a large GPU's 132.
    pub(super) fn of(extent: &Extent) -> Self {
        let suits = match forced() {
            Some(wide) => wide,
            None => extent.size[1] > NARROW.columns && WIDE.tiles(extent) * WIDE.splits(extent) >= BUSY / 2,
        };
        if suits { WIDE } else { NARROW }
    }

    /// The bytes of shared memory that a block uses: `Shape::BYTES`.
    pub(super) const fn shared(&self) -> usize {
        self.stages * (self.rows + self.columns) * (self.depth * 32 + 16)
    }

    fn tiles(&self, extent: &Extent) -> usize {
        let [m, n] = extent.size;
        extent.results * m.div_ceil(self.rows) * n.div_ceil(self.columns)
    }

    /// Into how many shares the sums are divided: the number for which a GPU that runs `BUSY` blocks at a time needs the fewest
    /// steps.
    fn splits(&self, extent: &Extent) -> usize {
        let (tiles, steps) = (self.tiles(extent), extent.terms.div_ceil(self.depth * 32 / extent.bytes));
        let most = (steps * self.depth / MIN_DEPTH).min((BUSY / tiles).max(FEW)).max(1);
        let cost = |splits: usize| {
            let added = if splits > 1 { PARTIAL * tiles * splits } else { 0 };
            (tiles * splits).div_ceil(BUSY) * BUSY * steps.div_ceil(splits) + added
        };
        let best = (1..=most).min_by_key(|&splits| cost(splits)).expect("one is a number of splits");
        // No split is empty.
        steps.div_ceil(steps.div_ceil(best))
    }

    /// The grid (tiles, splits) for these results.
    pub(super) fn grid(&self, extent: &Extent) -> Grid {
        let (tiles, splits) = (self.tiles(extent), self.splits(extent));
        Grid { blocks: [tiles as u32, splits as u32, 1], threads: THREADS, shared: self.shared() as u32 }
    }
}

/// `CHAINRULE_TILES=wide` or `narrow`: the tile of all products that can have either, to compare them.
fn forced() -> Option<bool> {
    static FORCED: OnceLock<Option<bool>> = OnceLock::new();
    let read = || match std::env::var("CHAINRULE_TILES").ok()?.as_str() {
        "wide" => Some(true),
        "narrow" => Some(false),
        _ => None,
    };
    *FORCED.get_or_init(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The convolutions of a ResNet-18 on CIFAR-10 with a batch of 512, in bf16.
    #[test]
    fn large_products_with_many_columns_have_wide_tiles() {
        let found = |size, terms| {
            let extent = Extent { results: 1, size, terms, bytes: 2 };
            let tile = Tile::of(&extent);
            (tile == WIDE, tile.grid(&extent).blocks)
        };
        // Forward: 64, 128 and 512 output channels.
        assert_eq!(found([512 * 32 * 32, 64], 576), (false, [4096, 1, 1]));
        assert_eq!(found([512 * 16 * 16, 128], 1152), (true, [1024, 1, 1]));
        assert_eq!(found([512 * 4 * 4, 512], 4608), (true, [256, 1, 1]));
        // Weight gradients: 128 and 512 channels.
        assert_eq!(found([1152, 128], 512 * 16 * 16), (true, [9, 28, 1]));
        assert_eq!(found([4608, 512], 512 * 4 * 4), (true, [144, 3, 1]));
        // Two blocks and their sums fit in the shared memory of compute capability 9.0.
        assert_eq!((NARROW.shared(), WIDE.shared()), (46_080, 110_592));
    }

    #[test]
    fn small_products_have_narrow_tiles_and_short_sums_are_not_split() {
        let found = |size, terms| {
            let extent = Extent { results: 1, size, terms, bytes: 4 };
            (Tile::of(&extent) == WIDE, NARROW.grid(&extent).blocks)
        };
        assert_eq!(found([64, 10], 128), (false, [1, 1, 1]));
        assert_eq!(found([64, 1000], 512), (false, [16, 4, 1]));
        assert_eq!(found([72, 8], 50_176), (false, [1, 242, 1]));
        assert_eq!(found([100_000, 64], 576), (false, [782, 1, 1]));
    }
}
