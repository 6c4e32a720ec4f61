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

/// One plane of the adjoint: each element of dy goes to the index of its window, all other elements of dx are 0. Nothing is added,
/// since these windows do not overlap. The rows of dy have stride `dy_step`; they and those of the index are `columns` long.
pub(super) fn scatter<T: Float>(dy: &[T], dy_step: usize, index: &[i32], [rows, columns]: [usize; 2], dx: &mut [T]) {
    dx.fill(T::ZERO);
    let (start, len) = (dx.as_mut_ptr(), dx.len());
    // After relu about half of the windows have no gradient. These write it here: a branch would often be mispredicted.
    let mut nowhere = T::ZERO;
    for i in 0..rows {
        let (dy, index) = (&dy[i * dy_step..][..columns], &index[i * columns..][..columns]);
        for (&gradient, &place) in dy.iter().zip(index) {
            let place = place as usize;
            let to = if place < len { start.wrapping_add(place) } else { &raw mut nowhere };
            // SAFETY: it is an element of dx or `nowhere`.
            unsafe { *to = gradient }
        }
    }
}
