//! The micro-kernel of large matrix products, Winograd convolution and blocked im2col: a tile of the result in registers.

#![expect(clippy::inline_always, reason = "loops are compiled with the features of the variant they are inlined into")]

use crate::cpu::simd::{Registers, Vector, Wide};

/// Rows of a tile: enough sums to hide the latency of a multiply-add, half as many if there are few registers.
pub(crate) const fn tile_rows<R: Registers>() -> usize {
    if R::COUNT == 32 { 8 } else { 4 }
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

/// `c = a · b`, or `c += a · b`, for (rows, columns) = (rows, k) · (k, columns) in multiples of a tile: `rows` of
/// [`tile_rows`] and `columns` of one register. The rows of b and of c are contiguous.
///
/// Each element is a single chain of multiply-adds in the order of k.
///
/// # Safety
/// All elements must be readable, and those of c must be exclusive to this call.
#[inline(always)]
pub(crate) unsafe fn product<T: Wide, R: Registers>(
    [rows, k, columns]: [usize; 3],
    a: Operand<T>,
    (b, b_row): (*const T, usize),
    (c, c_row): (*mut T, usize),
    accumulate: bool,
) {
    let lanes = T::Vector::<R>::LANES;
    let mut j = 0;
    while j < columns {
        let wide = columns - j >= 2 * lanes;
        for i in (0..rows).step_by(tile_rows::<R>()) {
            let a = Operand { start: a.start.wrapping_offset(i as isize * a.row), ..a };
            let (b, c) = (b.wrapping_add(j), c.wrapping_add(i * c_row + j));
            // SAFETY: as promised by the caller.
            unsafe {
                // `const`, so that the tiles of the other case are not compiled.
                if const { R::COUNT == 32 } {
                    if wide {
                        tile::<T::Vector<R>, 8, 2>(k, a, (b, b_row), (c, c_row), accumulate);
                    } else {
                        tile::<T::Vector<R>, 8, 1>(k, a, (b, b_row), (c, c_row), accumulate);
                    }
                } else if wide {
                    tile::<T::Vector<R>, 4, 2>(k, a, (b, b_row), (c, c_row), accumulate);
                } else {
                    tile::<T::Vector<R>, 4, 1>(k, a, (b, b_row), (c, c_row), accumulate);
                }
            }
        }
        j += if wide { 2 * lanes } else { lanes };
    }
}

/// One tile of M rows and N registers.
#[inline(always)]
unsafe fn tile<V: Vector, const M: usize, const N: usize>(
    k: usize,
    a: Operand<V::Element>,
    (mut b, b_row): (*const V::Element, usize),
    (c, c_row): (*mut V::Element, usize),
    accumulate: bool,
) {
    let mut sums = [[V::splat(V::zeroed()); N]; M];
    if accumulate {
        for i in 0..M {
            for j in 0..N {
                // SAFETY: by `product`'s contract.
                sums[i][j] = unsafe { V::load(c.wrapping_add(i * c_row + j * V::LANES)) };
            }
        }
    }
    let mut left = a.start;
    for _ in 0..k {
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
        b = b.wrapping_add(b_row);
    }
    for i in 0..M {
        for j in 0..N {
            // SAFETY: as above.
            unsafe { sums[i][j].store(c.wrapping_add(i * c_row + j * V::LANES)) };
        }
    }
}
