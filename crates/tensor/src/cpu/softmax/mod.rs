//! log-softmax along any axis, and cross-entropy.
//!
//! In memory a dense tensor is `outer × length of the axis × inner`. If the axis is the innermost, sums run along memory in
//! a fixed number of lanes; otherwise adjacent rows of `inner` are processed together, one sum each.

#![expect(clippy::inline_always, reason = "loops are compiled with the features of the variant they are inlined into")]

mod cross_entropy;
mod log_softmax;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub(crate) use cross_entropy::{cross_entropy, cross_entropy_backward};
pub(crate) use log_softmax::{log_softmax, log_softmax_backward};

use crate::cpu::simd::{Levels, Vectorized, dispatch};
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::parallel_for;

/// The number of parallel sums along a row.
const LANES: usize = 16;
/// Adjacent rows that are processed together if the axis is not the innermost.
const WIDTH: usize = 64;
/// The minimum number of elements per task.
const GRAIN: usize = 4 * 1024;

/// An operation on rows. Every method is `#[inline(always)]`, as is what it calls in its loops.
trait Along: Sync {
    type Element: Levels;
    /// A contiguous row; `number` is its index in memory order.
    fn one(&self, row: Range<usize>, number: usize);
    /// Adjacent rows.
    fn many(&self, rows: &Neighbors);
}

/// The dense memory layout of the rows along an axis.
struct Rows {
    outer: usize,
    len: usize,
    inner: usize,
}

impl Rows {
    fn new(layout: &Layout, order: &[usize], axis: usize) -> Self {
        let shape = layout.shape();
        let place = order.iter().position(|&a| a == axis).expect("the order has every axis");
        let product = |axes: &[usize]| axes.iter().map(|&a| shape[a]).product();
        Self { outer: product(&order[..place]), len: shape[axis], inner: product(&order[place + 1..]) }
    }

    fn for_each(&self, kernel: &impl Along) {
        let Self { outer, len, inner } = *self;
        let (jobs, job) = if inner == 1 { (outer, len) } else { (outer * inner.div_ceil(WIDTH), len * WIDTH) };
        parallel_for(jobs, (GRAIN / job.max(1)).max(1), |jobs| dispatch(Jobs { rows: self, kernel, jobs }));
    }
}

struct Jobs<'a, K> {
    rows: &'a Rows,
    kernel: &'a K,
    jobs: Range<usize>,
}

impl<K: Along> Vectorized for Jobs<'_, K> {
    type Element = K::Element;
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Rows { len, inner, .. } = *self.rows;
        if inner == 1 {
            for row in self.jobs {
                self.kernel.one(row * len..(row + 1) * len, row);
            }
            return;
        }
        let across = inner.div_ceil(WIDTH);
        for job in self.jobs {
            let (outer, first) = (job / across, job % across * WIDTH);
            let width = (inner - first).min(WIDTH);
            let number = outer * inner + first;
            self.kernel.many(&Neighbors { start: outer * len * inner + first, width, len, inner, number });
        }
    }
}

/// Up to [`WIDTH`] adjacent rows.
struct Neighbors {
    start: usize,
    width: usize,
    len: usize,
    inner: usize,
    /// The index of the first row.
    number: usize,
}

impl Neighbors {
    /// The positions of the rows' elements, step by step along the axis.
    #[inline(always)]
    fn pieces(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        (0..self.len).map(|k| self.start + k * self.inner).map(|start| start..start + self.width)
    }

    /// The indices of the rows.
    #[inline(always)]
    fn numbers(&self) -> Range<usize> {
        self.number..self.number + self.width
    }
}

/// `max` and `Σ exp(x − max)` of adjacent rows.
#[inline(always)]
fn exponentials<T: Float>(x: &[T], rows: &Neighbors) -> [[T; WIDTH]; 2] {
    let (mut max, mut sum) = ([T::LOWEST; WIDTH], [T::ZERO; WIDTH]);
    for piece in rows.pieces() {
        for (max, &x) in max.iter_mut().zip(&x[piece]) {
            *max = if x > *max { x } else { *max };
        }
    }
    for piece in rows.pieces() {
        for ((sum, &max), &x) in sum.iter_mut().zip(&max).zip(&x[piece]) {
            *sum += T::exp(x - max);
        }
    }
    [max, sum]
}

/// `max` and `Σ exp(x − max)` of one row.
#[inline(always)]
fn exponentials_of<T: Float>(x: &[T]) -> [T; 2] {
    let mut lanes = [T::LOWEST; LANES];
    for x in x.chunks(LANES) {
        for (max, &x) in lanes.iter_mut().zip(x) {
            *max = if x > *max { x } else { *max };
        }
    }
    let max = lanes.into_iter().fold(T::LOWEST, |a, b| if b > a { b } else { a });
    let mut lanes = [T::ZERO; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for x in whole {
        for (sum, &x) in lanes.iter_mut().zip(x) {
            *sum += T::exp(x - max);
        }
    }
    // exp of −∞ adds 0.
    let mut last = [T::LOWEST; LANES];
    last[..rest.len()].copy_from_slice(rest);
    for (sum, x) in lanes.iter_mut().zip(last) {
        *sum += T::exp(x - max);
    }
    [max, sum_of(lanes)]
}

/// Lanes added pairwise.
#[inline(always)]
fn sum_of<T: Float>(mut lanes: [T; LANES]) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}
