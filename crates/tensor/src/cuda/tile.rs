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
/// The minimum number of steps for which a large tile is worth its longer start and end.
const MIN_LARGE_STEPS: usize = 4;

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
pub(super) const TALL: Tile = Tile { rows: 256, columns: 64, depth: 4, stages: 2 };

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
    /// The tile for these results, of which the kernel has a narrow, a wide and maybe a tall one.
    ///
    /// Reads limit a narrow tile: of L2, whose bandwidth allows 43 FLOP a byte times 5.5 TB/s in bf16, and of lines along K,
    /// since its stages have half a cache line of each. A wide tile has 64 FLOP a byte and a tall one 51, and both have whole
    /// lines. But two blocks occupy all registers of a multiprocessor, so there should be blocks for each of a large GPU's.
    pub(super) fn of(extent: &Extent, has_tall: bool) -> Self {
        let large = if extent.size[1] <= TALL.columns && has_tall { TALL } else { WIDE };
        let suits = || {
            2 * extent.size[1] > large.columns
                && large.steps(extent) >= MIN_LARGE_STEPS
                && large.tiles(extent) * large.splits(extent) >= BUSY / 2
        };
        if forced().unwrap_or_else(suits) { large } else { NARROW }
    }

    /// The bytes of shared memory that a block uses: `Shape::BYTES`.
    pub(super) const fn shared(&self) -> usize {
        let lines = if self.rows > 128 { self.rows * 16 } else { 0 };
        self.stages * (self.rows + self.columns) * (self.depth * 32 + 16) + lines
    }

    fn steps(&self, extent: &Extent) -> usize {
        extent.terms.div_ceil(self.depth * 32 / extent.bytes)
    }

    fn tiles(&self, extent: &Extent) -> usize {
        let [m, n] = extent.size;
        extent.results * m.div_ceil(self.rows) * n.div_ceil(self.columns)
    }

    /// Into how many shares the sums are divided: the number for which a GPU that runs `BUSY` blocks at a time needs the fewest
    /// steps.
    fn splits(&self, extent: &Extent) -> usize {
        let (tiles, steps) = (self.tiles(extent), self.steps(extent));
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

/// `CHAINRULE_TILES=large` or `small`: the tiles of all products that can have either, to compare them.
fn forced() -> Option<bool> {
    static FORCED: OnceLock<Option<bool>> = OnceLock::new();
    let read = || match std::env::var("CHAINRULE_TILES").ok()?.as_str() {
        "large" => Some(true),
        "small" => Some(false),
        other => panic!("CHAINRULE_TILES={other} is not a choice; use large or small, or unset it"),
    };
    *FORCED.get_or_init(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(size: [usize; 2], terms: usize, bytes: usize) -> Extent {
        Extent { results: 1, size, terms, bytes }
    }

    /// The convolutions of a ResNet-18 on CIFAR-10 with a batch of 512, in bf16.
    #[test]
    fn large_products_have_large_tiles() {
        let found = |size, terms, has_tall| {
            let extent = extent(size, terms, 2);
            let tile = Tile::of(&extent, has_tall);
            (tile, tile.grid(&extent).blocks)
        };
        // Forward: 64, 128 and 512 output channels, and a 1×1 convolution of 64 channels.
        assert_eq!(found([512 * 32 * 32, 64], 576, true), (TALL, [2048, 1, 1]));
        assert_eq!(found([512 * 16 * 16, 128], 1152, true), (WIDE, [1024, 1, 1]));
        assert_eq!(found([512 * 4 * 4, 512], 4608, true), (WIDE, [256, 1, 1]));
        assert_eq!(found([512 * 16 * 16, 128], 64, true), (NARROW, [2048, 1, 1]));
        // Weight gradients: 64, 128 and 512 channels.
        assert_eq!(found([576, 64], 512 * 32 * 32, false), (NARROW, [5, 51, 1]));
        assert_eq!(found([1152, 128], 512 * 16 * 16, false), (WIDE, [9, 28, 1]));
        assert_eq!(found([4608, 512], 512 * 4 * 4, false), (WIDE, [144, 3, 1]));
        assert_eq!([NARROW, WIDE, TALL].map(|tile| tile.shared()), [46_080, 110_592, 96_256]);
    }

    #[test]
    fn small_products_have_narrow_tiles_and_short_sums_are_not_split() {
        let found = |size, terms| {
            let extent = extent(size, terms, 4);
            (Tile::of(&extent, true), NARROW.grid(&extent).blocks)
        };
        assert_eq!(found([64, 10], 128), (NARROW, [1, 1, 1]));
        assert_eq!(found([64, 1000], 512), (NARROW, [16, 4, 1]));
        assert_eq!(found([72, 8], 50_176), (NARROW, [1, 242, 1]));
        assert_eq!(found([100_000, 8], 576), (NARROW, [782, 1, 1]));
    }
}
