//! Copies that several algorithms make: of short rows of pixels, and of a few rows as columns.

#![expect(clippy::inline_always, reason = "copies are compiled with the features of the variant they are inlined into")]

use crate::cpu::simd::{Registers, Vector};
use crate::element::Float;

/// The maximum number of lanes of a register.
pub(super) const LANES: usize = 16;

/// Copies a row of pixels. Rows are short: a few copies of fixed size, the last of which may overlap, are faster than a
/// function call.
#[inline(always)]
pub(super) fn copy_short<T: Float>(to: &mut [T], from: &[T]) {
    const WIDE: usize = 8;
    let len = to.len();
    if len < WIDE {
        for (y, x) in to.iter_mut().zip(from) {
            *y = *x;
        }
        return;
    }
    for i in (0..len - WIDE).step_by(WIDE) {
        to[i..i + WIDE].copy_from_slice(&from[i..i + WIDE]);
    }
    to[len - WIDE..].copy_from_slice(&from[len - WIDE..]);
}

/// Copies `rows` rows of `len` elements, whose first elements are `step` apart in each matrix, as [`copy_short`] does.
///
/// # Safety
/// All elements of `from` must be readable, and those of `to` writable and exclusive to this call.
#[inline(always)]
pub(super) unsafe fn copy_rows<T: Float>(
    [rows, len]: [usize; 2],
    (from, from_step): (*const T, isize),
    (to, to_step): (*mut T, isize),
) {
    const WIDE: usize = 8;
    for row in 0..rows as isize {
        let (from, to) = (from.wrapping_offset(row * from_step), to.wrapping_offset(row * to_step));
        // SAFETY: all elements are in these rows.
        unsafe {
            if len < WIDE {
                for i in 0..len {
                    *to.add(i) = *from.add(i);
                }
                continue;
            }
            let mut i = 0;
            while i + WIDE < len {
                to.add(i).copy_from_nonoverlapping(from.add(i), WIDE);
                i += WIDE;
            }
            to.add(len - WIDE).copy_from_nonoverlapping(from.add(len - WIDE), WIDE);
        }
    }
}

/// Transposes a matrix whose rows have stride `step`, at most as many as a register has lanes: its columns become rows of
/// one register each, with zeros for missing rows.
#[inline(always)]
pub(super) fn transpose<T: Float, R: Registers>(
    from: &[T],
    (rows, step): (usize, usize),
    columns: usize,
    to: &mut [T],
) {
    let lanes = T::Vector::<R>::LANES;
    let mut square = [T::ZERO; 256];
    for j in (0..columns).step_by(lanes) {
        let width = lanes.min(columns - j);
        for i in 0..rows {
            square[i * lanes..][..width].copy_from_slice(&from[i * step + j..][..width]);
        }
        let mut transposed = [T::ZERO; 256];
        // SAFETY: both arrays hold a square of 16 × 16 elements.
        unsafe { T::Vector::<R>::transpose(square.as_ptr(), lanes as isize, transposed.as_mut_ptr(), lanes) };
        to[j * lanes..][..width * lanes].copy_from_slice(&transposed[..width * lanes]);
    }
}
