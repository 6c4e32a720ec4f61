//! The innermost loop of matrix products and of convolutions: a tile of the result in registers.

#![expect(clippy::inline_always, reason = "loops are compiled with the features of the variant they are inlined into")]

use crate::cpu::simd::{Registers, Vector, Wide, prefetch};

/// The maximum rows of a tile; a multiple of it is whole tiles at every level.
pub(crate) const MAX_TILE_ROWS: usize = 8;
/// Packed rows are split into groups of as many, each of which is whole tiles at every level: without tiles of 4 rows where tiles
/// have 6.
pub(crate) const ROW_GROUP: usize = 48;

/// The rows of the first tile of `left` rows, which are [`padded_rows`]. With 32 registers tiles have 8 rows. With 16 they have
/// 6, whose 12 independent sums hide the latency of a multiply-add; the 8 of a tile of 4 rows do not. Tiles of 4 rows make up
/// for what is no multiple of 6.
#[inline(always)]
const fn tile_rows<R: Registers>(left: usize) -> usize {
    if R::COUNT == 32 {
        8
    } else if left.is_multiple_of(6) {
        6
    } else {
        4
    }
}

/// The tiles of the group of packed rows that begins at row `first`: the first row and the number of rows of each.
#[inline(always)]
pub(crate) fn tiles<R: Registers>(first: usize, padded: usize) -> impl Iterator<Item = (usize, usize)> {
    let end = (first + ROW_GROUP).min(padded);
    let mut row = first;
    std::iter::from_fn(move || {
        let high = if row < end { tile_rows::<R>(end - row) } else { return None };
        row += high;
        Some((row - high, high))
    })
}

/// `rows`, rounded up to whole tiles.
#[inline(always)]
pub(crate) const fn padded_rows<R: Registers>(rows: usize) -> usize {
    if R::COUNT == 32 {
        rows.next_multiple_of(8)
    } else if rows <= 4 {
        4
    } else {
        rows.next_multiple_of(2)
    }
}

/// Columns of a tile: two registers.
pub(crate) const fn tile_columns<T, R: Registers>() -> usize {
    2 * R::BYTES / size_of::<T>()
}

/// A matrix in memory: element (i, j) is at `start + i·row + j·column`.
#[derive(Clone, Copy)]
pub(crate) struct Operand<T> {
    pub(crate) start: *const T,
    pub(crate) row: isize,
    pub(crate) column: isize,
}

/// `c = a · b`, or `c += a · b`, for (rows, columns) = (rows, k) · (k, columns), where `rows` are [`padded_rows`] and `columns` a
/// multiple of a register. The rows of b and of c are contiguous.
///
/// Each element is a single chain of multiply-adds in the order of k.
///
/// # Safety
/// All elements must be readable, and those of c must be exclusive to this call. With other numbers of rows or columns than said
/// above it reads and writes beyond the matrices.
#[inline(always)]
pub(crate) unsafe fn product<T: Wide, R: Registers>(
    [rows, k, columns]: [usize; 3],
    a: Operand<T>,
    (b, b_row): (*const T, usize),
    (c, c_row): (*mut T, usize),
    accumulate: bool,
) {
    let lanes = T::Vector::<R>::LANES;
    debug_assert!(rows == 0 || rows == padded_rows::<R>(rows), "{rows} rows are no whole tiles");
    debug_assert!(columns.is_multiple_of(lanes), "{columns} columns are no whole registers");
    let start = if accumulate { Start::Sums } else { Start::Zero };
    let mut j = 0;
    while j < columns {
        let wide = columns - j >= 2 * lanes;
        let mut i = 0;
        while i < rows {
            let high = tile_rows::<R>(rows - i);
            let a = Operand { start: a.start.wrapping_offset(i as isize * a.row), ..a };
            let (b, c) = ((b.wrapping_add(j), Even(b_row)), (c.wrapping_add(i * c_row + j), c_row));
            // SAFETY: as promised by the caller.
            unsafe {
                // `const`, so that the tiles of the other case are not compiled.
                if const { R::COUNT == 32 } {
                    if wide {
                        tile::<T::Vector<R>, 8, 2>(k, a, b, c, start);
                    } else {
                        tile::<T::Vector<R>, 8, 1>(k, a, b, c, start);
                    }
                } else {
                    match (high, wide) {
                        (6, true) => tile::<T::Vector<R>, 6, 2>(k, a, b, c, start),
                        (6, false) => tile::<T::Vector<R>, 6, 1>(k, a, b, c, start),
                        (_, true) => tile::<T::Vector<R>, 4, 2>(k, a, b, c, start),
                        (_, false) => tile::<T::Vector<R>, 4, 1>(k, a, b, c, start),
                    }
                }
            }
            i += high;
        }
        j += if wide { 2 * lanes } else { lanes };
    }
}

/// Where the rows of b begin, counted in elements from its start.
pub(crate) trait RowOffsets: Copy {
    fn offset(self, row: usize) -> usize;
}

/// Rows at equal distances.
#[derive(Clone, Copy)]
struct Even(usize);

impl RowOffsets for Even {
    #[inline(always)]
    fn offset(self, row: usize) -> usize {
        row * self.0
    }
}

impl RowOffsets for &[usize] {
    #[inline(always)]
    fn offset(self, row: usize) -> usize {
        self[row]
    }
}

/// What the sums of a tile begin with.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a, T> {
    Zero,
    /// What is in c.
    Sums,
    /// One element for each row.
    Rows(&'a [T]),
}

/// One tile of M rows and N registers: `c = start + a · b`.
///
/// # Safety
/// All elements must be readable, and those of c must be exclusive to this call.
#[inline(always)]
pub(crate) unsafe fn tile<V: Vector, const M: usize, const N: usize>(
    k: usize,
    a: Operand<V::Element>,
    (b, rows): (*const V::Element, impl RowOffsets),
    (c, c_row): (*mut V::Element, usize),
    start: Start<V::Element>,
) {
    let mut sums = [[V::splat(V::zeroed()); N]; M];
    for i in 0..M {
        // The rows that are written next, if the caller goes on downwards. Where each row has its own start, c is a small workspace in
        // the cache, and what follows it may be no memory at all: asking for it takes longer than the tile.
        if !matches!(start, Start::Rows(_)) {
            prefetch(c.wrapping_add((M + i) * c_row));
        }
        match start {
            Start::Zero => {}
            Start::Sums => {
                for j in 0..N {
                    // SAFETY: by this function's contract.
                    sums[i][j] = unsafe { V::load(c.wrapping_add(i * c_row + j * V::LANES)) };
                }
            }
            Start::Rows(values) => sums[i] = [V::splat(values[i]); N],
        }
    }
    let mut left = a.start;
    for l in 0..k {
        let b = b.wrapping_add(rows.offset(l));
        let mut right = [V::splat(V::zeroed()); N];
        for j in 0..N {
            // SAFETY: as above.
            right[j] = unsafe { V::load(b.wrapping_add(j * V::LANES)) };
        }
        for i in 0..M {
            // SAFETY: as above.
            let factor = V::splat(unsafe { *left.wrapping_offset(i as isize * a.row) });
            for j in 0..N {
                sums[i][j] = factor.mul_add(right[j], sums[i][j]);
            }
        }
        left = left.wrapping_offset(a.column);
    }
    for i in 0..M {
        for j in 0..N {
            // SAFETY: as above.
            unsafe { sums[i][j].store(c.wrapping_add(i * c_row + j * V::LANES)) };
        }
    }
}
