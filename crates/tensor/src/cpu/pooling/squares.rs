//! The fast path for the most common case: 2×2 windows with stride 2, in images with contiguous rows.

#![expect(clippy::inline_always, reason = "loops are compiled with the features of the variant they are inlined into")]

use crate::cpu::pooling::{larger, rectified};
use crate::cpu::simd::{Registers, Tiled, Vector};
use crate::element::Float;

/// The maximum number of windows processed in parallel: the lanes of the widest register.
const WIDEST: usize = 16;

/// One plane of max pooling: the maximum of each window, and its index.
pub(crate) struct Largest<'a, T> {
    /// The rows of x from row `first` of the plane on, with stride `step`; `width` is the length of a row of the plane.
    pub(crate) x: &'a [T],
    pub(crate) first: usize,
    pub(crate) step: usize,
    pub(crate) width: usize,
    /// The contiguous rows of the results, each `columns` long.
    pub(crate) y: &'a mut [T],
    pub(crate) index: &'a mut [i32],
    pub(crate) columns: usize,
    /// Whether relu is applied, which sets the index to −1 if the result is not above 0.
    pub(crate) relu: bool,
}

impl<T: Float> Tiled for Largest<'_, T> {
    type Element = T;
    type Output = ();

    #[inline(always)]
    fn run<R: Registers>(self) {
        let lanes = T::Vector::<R>::LANES;
        for i in 0..self.y.len() / self.columns {
            for j in (0..self.columns).step_by(lanes) {
                let count = lanes.min(self.columns - j);
                let [a, b] = pairs::<T, R>(&self.x[2 * i * self.step + 2 * j..], 2 * count);
                let [c, d] = pairs::<T, R>(&self.x[(2 * i + 1) * self.step + 2 * j..], 2 * count);
                let start = ((self.first + 2 * i) * self.width + 2 * j) as i32;
                let (mut best, mut place) = (a, [0; WIDEST]);
                for l in 0..lanes {
                    let first = start + 2 * l as i32;
                    let mut found = (a[l], first);
                    for (v, away) in [(b[l], 1), (c[l], self.width as i32), (d[l], self.width as i32 + 1)] {
                        found = larger(found, (v, first + away));
                    }
                    (best[l], place[l]) = rectified(found, self.relu);
                }
                let at = i * self.columns + j;
                write(&best, lanes, count, &mut self.y[at..]);
                write(&place, lanes, count, &mut self.index[at..]);
            }
        }
    }
}

/// Writes `count` elements, or a whole register of `lanes` if `to` is long enough: the elements after them are written
/// later. A store of variable length is a function call, and a later read of the whole would stall on partial stores.
#[inline(always)]
fn write<E: Copy, const N: usize>(from: &[E; N], lanes: usize, count: usize, to: &mut [E]) {
    // Two copies rather than one of either length: a copy of constant length is a store, one of variable length is a call.
    if to.len() >= lanes {
        to[..lanes].copy_from_slice(&from[..lanes]);
    } else {
        to[..count].copy_from_slice(&from[..count]);
    }
}

/// The even and the odd elements of the first `len`.
#[inline(always)]
fn pairs<T: Float, R: Registers>(from: &[T], len: usize) -> [[T; WIDEST]; 2] {
    let lanes = T::Vector::<R>::LANES;
    let mut padded = [T::ZERO; 2 * WIDEST];
    // Whole registers may be read within the slice, even beyond the end of the row.
    let start = if from.len() >= 2 * lanes {
        from.as_ptr()
    } else {
        padded[..len].copy_from_slice(&from[..len]);
        padded.as_ptr()
    };
    // SAFETY: two registers can be read.
    let pair = unsafe { T::Vector::<R>::load(start).unzip(T::Vector::<R>::load(start.add(lanes))) };
    let mut out = [[T::ZERO; WIDEST]; 2];
    // SAFETY: no register has more lanes than WIDEST.
    unsafe {
        pair.0.store(out[0].as_mut_ptr());
        pair.1.store(out[1].as_mut_ptr());
    }
    out
}

/// One plane of the adjoint: each element of dy goes to the index of its window, all other elements of dx are 0.
pub(super) struct Spread<'a, T> {
    pub(super) dy: &'a [T],
    pub(super) index: &'a [i32],
    /// The rows of dy have stride `dy_step`, those of the index `columns`; both are `columns` long.
    pub(super) dy_step: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// The contiguous rows of dx.
    pub(super) dx: &'a mut [T],
    pub(super) width: usize,
}

impl<T: Float> Tiled for Spread<'_, T> {
    type Element = T;
    type Output = ();

    #[inline(always)]
    fn run<R: Registers>(self) {
        let (columns, width, lanes) = (self.columns, self.width, T::Vector::<R>::LANES);
        let height = self.dx.len() / width;
        for row in 0..height {
            let i = row / 2;
            if i >= self.rows {
                self.dx[row * width..].fill(T::ZERO);
                break;
            }
            for j in (0..columns).step_by(lanes) {
                let (dy, index) = (&self.dy[i * self.dy_step + j..], &self.index[i * columns + j..]);
                let start = (row * width + 2 * j) as i32;
                let dx = &mut self.dx[row * width + 2 * j..];
                // Two calls rather than one with padded copies, which would always go through memory. Elements written
                // beyond a row's end are overwritten afterwards.
                if dy.len() >= lanes && index.len() >= lanes && dx.len() >= 2 * lanes {
                    spread::<T, R>(dy, index, start, dx);
                } else {
                    let count = lanes.min(columns - j);
                    let (mut padded_dy, mut padded_index) = ([T::ZERO; WIDEST], [-1; WIDEST]);
                    padded_dy[..count].copy_from_slice(&dy[..count]);
                    padded_index[..count].copy_from_slice(&index[..count]);
                    let mut padded_dx = [T::ZERO; 2 * WIDEST];
                    spread::<T, R>(&padded_dy, &padded_index, start, &mut padded_dx);
                    dx[..2 * count].copy_from_slice(&padded_dx[..2 * count]);
                }
            }
            if 2 * columns < width {
                self.dx[row * width + 2 * columns..(row + 1) * width].fill(T::ZERO);
            }
        }
    }
}

/// One row of pairs of pixels, as many as a register has lanes; the first pixel has index `start`.
#[inline(always)]
fn spread<T: Float, R: Registers>(dy: &[T], index: &[i32], start: i32, dx: &mut [T]) {
    let lanes = T::Vector::<R>::LANES;
    let dx = &mut dx[..2 * lanes];
    // Copies: a select between elements in memory would become a branch.
    let (mut values, mut places) = ([T::ZERO; WIDEST], [0; WIDEST]);
    values[..lanes].copy_from_slice(&dy[..lanes]);
    places[..lanes].copy_from_slice(&index[..lanes]);
    let (mut left, mut right) = ([T::ZERO; WIDEST], [T::ZERO; WIDEST]);
    for l in 0..lanes {
        let here = start + 2 * l as i32;
        left[l] = if places[l] == here { values[l] } else { T::ZERO };
        right[l] = if places[l] == here + 1 { values[l] } else { T::ZERO };
    }
    // SAFETY: no register has more lanes than WIDEST, and dx has two registers.
    unsafe {
        let (first, second) = T::Vector::<R>::load(left.as_ptr()).zip(T::Vector::<R>::load(right.as_ptr()));
        first.store(dx.as_mut_ptr());
        second.store(dx[lanes..].as_mut_ptr());
    }
}
