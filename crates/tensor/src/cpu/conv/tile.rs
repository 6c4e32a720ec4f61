//! The innermost loops: sums of products that stay in registers.
//!
//! Tiles are cut to the registers of each level of CPU features. That changes no bit: an element of a product is one sum
//! in the order of the rows, and the lanes of a dot product stand in the source.

#![expect(
    clippy::inline_always,
    reason = "loops are vectorised where they are inlined into a variant of `dispatch_tiled`"
)]

use crate::cpu::simd::Registers;
use crate::element::Float;

/// The most rows of a tile of a product.
pub(super) const ROWS: usize = 8;
/// The most columns of a tile, and how far beyond the last column a product may read and write.
pub(super) const PANEL: usize = 32;
/// The most rows on each side of a tile of dot products.
pub(super) const DOTS: usize = 4;
/// The lanes of a dot product of f32; f64 has half of them.
pub(super) const LANES: usize = 16;

/// A loop unrolled in the source: the optimiser leaves larger ones as they are, and then sums live in memory.
macro_rules! unrolled {
    ($i:ident in $($value:literal)+, $count:ident => $body:expr) => {
        $(if $value < $count {
            let $i = $value;
            $body
        })+
    };
}

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
    // Two registers wide, and half of the registers high.
    let wide = 2 * R::BYTES / size_of::<T>();
    let most = R::COUNT / 4;
    let mut j = 0;
    while j < columns {
        let half = R::COUNT == 32 && columns - j <= wide / 2;
        let mut i = 0;
        while i < rows {
            let height = (rows - i).min(most);
            let mut start = [T::ZERO; ROWS];
            start[..height].copy_from_slice(&bias[i..i + height]);
            macro_rules! tile {
                ($columns:expr; $($rows:literal)+) => {
                    match height {
                        // SAFETY: by this function's contract.
                        $($rows => unsafe { tile::<T, $rows, $columns>(offsets, &start, (w.add(i), rows), x.add(j), (y.add(i * y_step + j), y_step)) },)+
                        _ => unreachable!(),
                    }
                };
            }
            match (if half { wide / 2 } else { wide }, most) {
                (32, 8) => tile!(32; 1 2 3 4 5 6 7 8),
                (16, 8) => tile!(16; 1 2 3 4 5 6 7 8),
                (8, 8) => tile!(8; 1 2 3 4 5 6 7 8),
                (16, 4) => tile!(16; 1 2 3 4),
                (8, 4) => tile!(8; 1 2 3 4),
                (4, 4) => tile!(4; 1 2 3 4),
                _ => unreachable!(),
            }
            i += height;
        }
        j += if half { wide / 2 } else { wide };
    }
}

/// One tile of [`product`]; `w`'s and `y`'s rows are the given numbers of elements apart.
#[inline(always)]
unsafe fn tile<T: Float, const M: usize, const N: usize>(
    offsets: &[usize],
    bias: &[T; ROWS],
    (mut w, w_step): (*const T, usize),
    x: *const T,
    (y, y_step): (*mut T, usize),
) {
    let mut sums = [[T::ZERO; N]; M];
    for i in 0..M {
        sums[i] = [bias[i]; N];
    }
    for &offset in offsets {
        // SAFETY: by `product`'s contract.
        let (a, b) = unsafe { (w.cast::<[T; M]>().read(), x.add(offset).cast::<[T; N]>().read()) };
        unrolled!(i in 0 1 2 3 4 5 6 7, M => for j in 0..N {
            sums[i][j] += a[i] * b[j];
        });
        w = w.wrapping_add(w_step);
    }
    for (i, sums) in sums.into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { y.add(i * y_step).cast::<[T; N]>().write(sums) }
    }
}

/// Some vectors of the same length for each of several images: where the first lies, and how far images are apart.
#[derive(Clone, Copy)]
pub(super) struct Vectors<T> {
    pub(super) start: *const T,
    pub(super) image: usize,
}

/// `dots[i][k] = Σ x[i]·y[k]` over `len` elements of each of `images` images, for the vectors that start at `x_offsets`
/// and `y_offsets`, at most [`DOTS`] each.
///
/// # Safety
/// All vectors have `len` elements, rounded up to [`LANES`].
#[inline(always)]
pub(super) unsafe fn dots<T: Float, R: Registers>(
    [images, len]: [usize; 2],
    (x, x_offsets): (Vectors<T>, &[usize]),
    (y, y_offsets): (Vectors<T>, &[usize]),
) -> [[T; DOTS]; DOTS] {
    let mut out = [[T::ZERO; DOTS]; DOTS];
    // At most half of the registers hold sums, one vector of lanes being 64 bytes.
    let (across, down) = match R::BYTES {
        64 => (4, 4),
        32 => (2, 2),
        _ => (1, 2),
    };
    let mut i = 0;
    while i < x_offsets.len() {
        let height = (x_offsets.len() - i).min(down);
        let mut k = 0;
        while k < y_offsets.len() {
            let width = (y_offsets.len() - k).min(across);
            macro_rules! tile {
                ($($m:literal $n:literal),+) => {
                    match (height, width) {
                        $(($m, $n) => {
                            let (xs, ys) = (std::array::from_fn(|m| x_offsets[i + m]), std::array::from_fn(|n| y_offsets[k + n]));
                            // SAFETY: by this function's contract.
                            let sums: [[T; $n]; $m] = unsafe {
                                if size_of::<T>() == 4 {
                                    dot_tile::<T, $m, $n, LANES>([images, len], (x, xs), (y, ys))
                                } else {
                                    dot_tile::<T, $m, $n, { LANES / 2 }>([images, len], (x, xs), (y, ys))
                                }
                            };
                            for (m, sums) in sums.into_iter().enumerate() {
                                out[i + m][k..k + $n].copy_from_slice(&sums);
                            }
                        })+
                        _ => unreachable!(),
                    }
                };
            }
            match (down, across) {
                (4, 4) => tile!(1 1, 1 2, 1 3, 1 4, 2 1, 2 2, 2 3, 2 4, 3 1, 3 2, 3 3, 3 4, 4 1, 4 2, 4 3, 4 4),
                (2, 2) => tile!(1 1, 1 2, 2 1, 2 2),
                _ => tile!(1 1, 2 1),
            }
            k += width;
        }
        i += height;
    }
    out
}

/// One tile of [`dots`].
#[inline(always)]
unsafe fn dot_tile<T: Float, const M: usize, const N: usize, const L: usize>(
    [images, len]: [usize; 2],
    (x, x_offsets): (Vectors<T>, [usize; M]),
    (y, y_offsets): (Vectors<T>, [usize; N]),
) -> [[T; N]; M] {
    let mut sums = [[[T::ZERO; L]; N]; M];
    for image in 0..images {
        let (xs, ys) = (x.start.wrapping_add(image * x.image), y.start.wrapping_add(image * y.image));
        for at in (0..len).step_by(L) {
            let mut b = [[T::ZERO; L]; N];
            for n in 0..N {
                // SAFETY: by `dots`' contract.
                b[n] = unsafe { ys.add(y_offsets[n] + at).cast::<[T; L]>().read() };
            }
            unrolled!(m in 0 1 2 3, M => {
                // SAFETY: as above.
                let a = unsafe { xs.add(x_offsets[m] + at).cast::<[T; L]>().read() };
                unrolled!(n in 0 1 2 3, N => for l in 0..L {
                    sums[m][n][l] += a[l] * b[n][l];
                });
            });
        }
    }
    sums.map(|row| {
        row.map(|mut lanes| {
            let mut half = L / 2;
            while half > 0 {
                for l in 0..half {
                    lanes[l] += lanes[l + half];
                }
                half /= 2;
            }
            lanes[0]
        })
    })
}
