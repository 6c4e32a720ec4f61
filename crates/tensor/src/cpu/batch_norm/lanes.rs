//! Sums in fixed lanes over contiguous runs, and pairwise sums of sums.

#![expect(clippy::inline_always, reason = "loops are vectorized where they are inlined into a variant of `dispatch`")]
#![expect(clippy::needless_range_loop, reason = "several arrays are indexed alike, lane by lane")]

use std::ops::Range;

use super::functions::{Map, Term};
use crate::element::Float;
use crate::parallel::Disjoint;

/// The number of elements of a row, which are processed in parallel.
pub(super) const LANES: usize = 16;
/// The number of rows with independent sums, to hide the latency of additions: for one term and for two.
pub(super) const ROWS_OF_1: usize = 4;
pub(super) const ROWS_OF_2: usize = 2;

/// The minimum length of a run for which the compiler's vectorized loop, with its checks and remainder, is faster.
const LONG: usize = 256;

/// The sums of K terms per lane, in `ROWS` rows.
pub(super) struct Lanes<T, const K: usize, const ROWS: usize>([[[T; LANES]; K]; ROWS]);

/// A loop unrolled in the source: the optimizer does not unroll some of them, and then sums stay in memory.
macro_rules! unrolled {
    ($i:ident in $($value:literal)+, $count:ident => $body:expr) => {
        $(if $value < $count {
            let $i = $value;
            $body
        })+
    };
}

// Loops over operands are written out rather than passed as closures to `array::map`, which would compile another
// instance for every call in every kernel.

/// The same part of each operand.
#[inline(always)]
pub(super) fn part<T, const I: usize>(mut x: [&[T]; I], start: usize, len: usize) -> [&[T]; I] {
    for x in &mut x {
        *x = &x[start..start + len];
    }
    x
}

/// One element of each operand.
#[inline(always)]
pub(super) fn element<T: Float, const I: usize>(x: &[&[T]; I], at: usize) -> [T; I] {
    let mut values = [T::ZERO; I];
    for i in 0..I {
        values[i] = x[i][at];
    }
    values
}

/// A row of each operand, by value.
#[inline(always)]
fn rows<T: Float, const I: usize>(x: &[&[T]; I], at: usize) -> [[T; LANES]; I] {
    let mut rows = [[T::ZERO; LANES]; I];
    for i in 0..I {
        rows[i] = *x[i][at..].first_chunk().expect("a row lies within the operand");
    }
    rows
}

/// One lane of each row.
#[inline(always)]
fn lane<T: Float, const I: usize>(rows: &[[T; LANES]; I], l: usize) -> [T; I] {
    let mut values = [T::ZERO; I];
    for i in 0..I {
        values[i] = rows[i][l];
    }
    values
}

impl<T: Float, const K: usize, const ROWS: usize> Lanes<T, K, ROWS> {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self([[[T::ZERO; LANES]; K]; ROWS])
    }

    /// Adds the terms of one row of operands to row `r` of sums, in the lanes given by `keep`.
    #[inline(always)]
    fn add<const I: usize>(
        &mut self,
        r: usize,
        v: [[T; LANES]; I],
        mean: T,
        f: impl Term<T, I, K>,
        keep: Range<usize>,
    ) {
        unrolled!(k in 0 1, K => for l in 0..LANES {
            let term = f.of(lane(&v, l), mean)[k];
            self.0[r][k][l] += if keep.contains(&l) { term } else { T::ZERO };
        });
    }

    /// Adds the last `len % LANES` elements of a run to row `r` of sums.
    #[inline(always)]
    fn add_rest<const I: usize>(&mut self, r: usize, run: [&[T]; I], mean: T, f: impl Term<T, I, K>) {
        let len = run[0].len();
        let rest = len % LANES;
        if rest == 0 {
            return;
        }
        if len >= LANES {
            // The last whole row, without the elements that were added already.
            self.add(r, rows(&run, len - LANES), mean, f, LANES - rest..LANES);
        } else {
            let mut padded = [[T::ZERO; LANES]; I];
            for (padded, x) in padded.iter_mut().zip(run) {
                padded[..len].copy_from_slice(x);
            }
            self.add(r, padded, mean, f, 0..len);
        }
    }

    /// Adds a run of any length, row by row, to the rows of sums in rotation.
    #[inline(always)]
    pub(super) fn add_run<const I: usize>(&mut self, run: [&[T]; I], mean: T, f: impl Term<T, I, K>) {
        let len = run[0].len();
        let mut at = 0;
        while at + ROWS * LANES <= len {
            unrolled!(r in 0 1 2 3, ROWS => self.add(r, rows(&run, at + r * LANES), mean, f, 0..LANES));
            at += ROWS * LANES;
        }
        // `at` is a multiple of ROWS rows, and fewer than ROWS rows are left.
        unrolled!(r in 0 1 2, ROWS => if at + (r + 1) * LANES <= len {
            self.add(r, rows(&run, at + r * LANES), mean, f, 0..LANES);
        });
        self.add_rest(0, run, mean, f);
    }

    /// Adds short runs of equal length in parallel, each to its own row of sums.
    #[inline(always)]
    pub(super) fn add_runs<const I: usize>(&mut self, runs: [[&[T]; I]; ROWS], mean: T, f: impl Term<T, I, K>) {
        let len = runs[0][0].len();
        let mut at = 0;
        while at + LANES <= len {
            unrolled!(r in 0 1 2 3, ROWS => self.add(r, rows(&runs[r], at), mean, f, 0..LANES));
            at += LANES;
        }
        unrolled!(r in 0 1 2 3, ROWS => self.add_rest(r, runs[r], mean, f));
    }

    /// The sums over all lanes.
    #[inline(always)]
    pub(super) fn total(self) -> [T; K] {
        // A copy: passed by reference, the sums would be kept in memory instead of registers.
        let rows = self.0;
        total(&rows)
    }
}

/// The sums over all rows and lanes, by repeated halving.
///
/// Not inlined, since the optimizer would lay out the sums of the main loop for these last few additions.
#[inline(never)]
fn total<T: Float, const K: usize, const ROWS: usize>(rows: &[[[T; LANES]; K]; ROWS]) -> [T; K] {
    std::array::from_fn(|k| {
        let mut rows: [[T; LANES]; ROWS] = std::array::from_fn(|r| rows[r][k]);
        let mut half = ROWS / 2;
        while half > 0 {
            for r in 0..half {
                for l in 0..LANES {
                    rows[r][l] += rows[r + half][l];
                }
            }
            half /= 2;
        }
        let mut lanes = rows[0];
        let mut half = LANES / 2;
        while half > 0 {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
            half /= 2;
        }
        lanes[0]
    })
}

/// The pairwise sum of a sequence of numbers: an entry at level l is the sum of 2ˡ of them.
pub(super) struct Tree<T, const K: usize> {
    levels: [[T; K]; 48],
    count: usize,
}

impl<T: Float, const K: usize> Tree<T, K> {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { levels: [[T::ZERO; K]; 48], count: 0 }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, mut sums: [T; K]) {
        let level = self.count.trailing_ones() as usize;
        for before in &self.levels[..level] {
            sums = add(*before, sums);
        }
        self.levels[level] = sums;
        self.count += 1;
    }

    #[inline(always)]
    pub(super) fn total(self) -> [T; K] {
        let mut total = [T::ZERO; K];
        let mut left = self.count;
        while left != 0 {
            total = add(self.levels[left.trailing_zeros() as usize], total);
            left &= left - 1;
        }
        total
    }
}

#[inline(always)]
fn add<T: Float, const K: usize>(a: [T; K], b: [T; K]) -> [T; K] {
    std::array::from_fn(|k| a[k] + b[k])
}

/// Applies `f` to a run of each operand and writes the results. `constants(l)` are those for element l of the run.
#[inline(always)]
pub(super) fn map_run<T: Float, const I: usize, const P: usize, const O: usize>(
    run: [&[T]; I],
    mut out: [&mut [T]; O],
    f: impl Map<T, I, P, O>,
    constants: impl Fn(usize) -> [T; P],
) {
    let len = run[0].len();
    if !(LANES..LONG).contains(&len) {
        let run = part(run, 0, len);
        for out in &mut out {
            *out = &mut std::mem::take(out)[..len];
        }
        for at in 0..len {
            let results = f.of(element(&run, at), constants(at));
            for (out, y) in out.iter_mut().zip(results) {
                out[at] = y;
            }
        }
        return;
    }
    let mut at = 0;
    while at < len {
        // The last row starts early enough to be whole; the elements it shares with the previous one get the same values.
        let start = at.min(len - LANES);
        let results = map_row(rows(&run, start), f, |l| constants(start + l));
        for (out, results) in out.iter_mut().zip(results) {
            out[start..start + LANES].copy_from_slice(&results);
        }
        at += LANES;
    }
}

/// `f` of a row. By value, so that all reads precede all writes without an aliasing analysis by the compiler.
#[inline(always)]
fn map_row<T: Float, const I: usize, const P: usize, const O: usize>(
    v: [[T; LANES]; I],
    f: impl Map<T, I, P, O>,
    constants: impl Fn(usize) -> [T; P],
) -> [[T; LANES]; O] {
    let mut results = [[T::ZERO; LANES]; O];
    for l in 0..LANES {
        let y = f.of(lane(&v, l), constants(l));
        for (results, y) in results.iter_mut().zip(y) {
            results[l] = y;
        }
    }
    results
}

/// The part of each result that one task writes.
///
/// # Safety
/// As [`Disjoint::slice`].
#[inline(always)]
pub(super) unsafe fn parts<'a, T, const O: usize>(
    out: &[Disjoint<'a, T>; O],
    start: usize,
    len: usize,
) -> [&'a mut [T]; O] {
    // SAFETY: the caller promises that the parts do not overlap.
    std::array::from_fn(|o| unsafe { out[o].slice(start..start + len) })
}
