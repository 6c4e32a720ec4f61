//! The innermost loops: sums of products that stay in registers.
//!
//! Tiles fit the registers of each level of CPU features. Whatever the tile, an element of a product is one sum in the
//! order of the rows, and a dot product is as many sums as a register has lanes.

#![expect(
    clippy::inline_always,
    reason = "loops are vectorized where they are inlined into a variant of `dispatch_tiled`"
)]

use crate::cpu::conv::copies::LANES;
use crate::cpu::product::{Operand, Start, tile};
use crate::cpu::simd::{Registers, Vector};
use crate::element::Float;

/// The maximum number of rows of a tile of a product.
pub(super) const ROWS: usize = 8;
/// The maximum number of columns of a tile, and how far beyond the last column a product may read and write.
pub(super) const PANEL: usize = 32;
/// The maximum sides of a tile of dot products at any level.
pub(super) const MAX_DOTS: [usize; 2] = [6, 4];

/// `y[i, j] = bias[i] + Σₖ w[k, i] · x[offsets[k] + j]` for `rows` ≤ [`ROWS`] and j in `0..columns`.
///
/// # Safety
/// `w` has `offsets.len() · rows` elements, k outermost. From each offset on, `x` has `columns` elements and
/// [`PANEL`] − 1 more; so has each of the rows of `y`, which are `y_step` apart.
#[inline(always)]
pub(super) unsafe fn product<T: Float, R: Registers>(
    rows: usize,
    columns: usize,
    offsets: &[usize],
    bias: &[T; ROWS],
    (w, x): (*const T, *const T),
    (y, y_step): (*mut T, usize),
) {
    // At most 12 sums of 16 registers, 16 of 32, in tiles of nearly equal size: with 16 registers 8 rows are 4 and 4. (A tile of 4
    // rows and 3 registers needs all 16; the compiler then keeps one in memory, which takes longer than it saves.)
    let lanes = T::Vector::<R>::LANES;
    let most = if R::COUNT == 32 { 8 } else { 6 };
    let (mut j, registers) = (0, columns.div_ceil(lanes));
    while j < registers {
        let wide = (registers - j).min(2);
        let mut i = 0;
        while i < rows {
            let high = (rows - i).div_ceil((rows - i).div_ceil(most));
            let a = Operand { start: w.wrapping_add(i), row: 1, column: rows as isize };
            let b = (x.wrapping_add(j * lanes), offsets);
            let c = (y.wrapping_add(i * y_step + j * lanes), y_step);
            let start = Start::Rows(&bias[i..]);
            macro_rules! tiles {
                ($($m:literal $n:literal),+) => {
                    match (high, wide) {
                        // SAFETY: as promised by the caller.
                        $(($m, $n) => unsafe { tile::<T::Vector<R>, $m, $n>(offsets.len(), a, b, c, start) },)+
                        _ => unreachable!(),
                    }
                };
            }
            // `const`, so that the tiles of the other case are not compiled.
            if const { R::COUNT == 32 } {
                tiles!(1 1, 1 2, 2 1, 2 2, 3 1, 3 2, 4 1, 4 2, 5 1, 5 2, 6 1, 6 2, 7 1, 7 2, 8 1, 8 2);
            } else {
                tiles!(1 1, 1 2, 2 1, 2 2, 3 1, 3 2, 4 1, 4 2, 5 1, 5 2, 6 1, 6 2);
            }
            i += high;
        }
        j += wide;
    }
}

/// Vectors of equal length for each of several images: the address of the first image, and the stride between images.
#[derive(Clone, Copy)]
pub(super) struct Vectors<T> {
    pub(super) start: *const T,
    pub(super) image: usize,
}

/// The maximum sides of a tile of dot products: half of 32 registers hold sums, or 12 of 16, enough to hide the latency of a
/// multiply-add.
#[inline(always)]
pub(super) const fn most_dots<R: Registers>() -> [usize; 2] {
    if R::COUNT == 32 { [4, 4] } else { [6, 2] }
}

/// `dots[i][k] = Σ x[i]·y[k]` over `len` elements of each of `images` images, for the vectors that start at `x_offsets`
/// and `y_offsets`, at most [`most_dots`].
///
/// # Safety
/// All vectors have `len` elements, rounded up to [`LANES`].
#[inline(always)]
pub(super) unsafe fn dots<T: Float, R: Registers>(
    [images, len]: [usize; 2],
    (x, x_offsets): (Vectors<T>, &[usize]),
    (y, y_offsets): (Vectors<T>, &[usize]),
) -> [[T; MAX_DOTS[1]]; MAX_DOTS[0]] {
    let mut out = [[T::ZERO; MAX_DOTS[1]]; MAX_DOTS[0]];
    macro_rules! tile {
        ($($m:literal $n:literal),+) => {
            match (x_offsets.len(), y_offsets.len()) {
                $(($m, $n) => {
                    let (xs, ys) = (chunk(x_offsets), chunk(y_offsets));
                    // SAFETY: as promised by the caller.
                    let sums = unsafe { dot_tile::<T, R, $m, $n>([images, len], (x, xs), (y, ys)) };
                    for (out, sums) in out.iter_mut().zip(sums) {
                        out[..$n].copy_from_slice(&sums);
                    }
                })+
                _ => unreachable!(),
            }
        };
    }
    // As in `product`.
    if const { R::COUNT == 32 } {
        tile!(1 1, 1 2, 1 3, 1 4, 2 1, 2 2, 2 3, 2 4, 3 1, 3 2, 3 3, 3 4, 4 1, 4 2, 4 3, 4 4);
    } else {
        tile!(1 1, 1 2, 2 1, 2 2, 3 1, 3 2, 4 1, 4 2, 5 1, 5 2, 6 1, 6 2);
    }
    out
}

/// The first `N` offsets.
#[inline(always)]
fn chunk<const N: usize>(offsets: &[usize]) -> [usize; N] {
    *offsets.first_chunk().expect("a tile lies within the operands")
}

/// One tile of [`dots`].
#[inline(always)]
unsafe fn dot_tile<T: Float, R: Registers, const M: usize, const N: usize>(
    [images, len]: [usize; 2],
    (x, x_offsets): (Vectors<T>, [usize; M]),
    (y, y_offsets): (Vectors<T>, [usize; N]),
) -> [[T; N]; M] {
    let zero = T::Vector::<R>::splat(T::ZERO);
    let mut sums = [[zero; N]; M];
    for image in 0..images {
        let (xs, ys) = (x.start.wrapping_add(image * x.image), y.start.wrapping_add(image * y.image));
        for at in (0..len).step_by(T::Vector::<R>::LANES) {
            let mut b = [zero; N];
            for n in 0..N {
                // SAFETY: by `dots`' contract.
                b[n] = unsafe { T::Vector::<R>::load(ys.add(y_offsets[n] + at)) };
            }
            for m in 0..M {
                // SAFETY: as above.
                let a = unsafe { T::Vector::<R>::load(xs.add(x_offsets[m] + at)) };
                for n in 0..N {
                    sums[m][n] = a.mul_add(b[n], sums[m][n]);
                }
            }
        }
    }
    let lanes = T::Vector::<R>::LANES;
    let mut all = [zero; 16];
    for m in 0..M {
        all[m * N..m * N + N].copy_from_slice(&sums[m]);
    }
    let mut flat = [T::ZERO; 16];
    for first in (0..M * N).step_by(lanes) {
        let mut rows = [zero; LANES];
        rows[..lanes].copy_from_slice(&all[first..first + lanes]);
        // SAFETY: a register's lanes divide 16.
        unsafe { T::Vector::<R>::sums(rows).store(flat.as_mut_ptr().add(first)) };
    }
    let mut out = [[T::ZERO; N]; M];
    for m in 0..M {
        out[m].copy_from_slice(&flat[m * N..m * N + N]);
    }
    out
}
