//! Sums, maxima and minima along axes.
//!
//! Every result is a reduction tree that depends on shape and strides alone, never on the number of threads. The elements
//! of a result are halved down to leaves of a fixed size. A leaf is folded in [`LANES`] lanes or, if adjacent elements
//! belong to different results, row by row into many results at a time. The rounding error of a sum is that of pairwise
//! summation (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2).

#![expect(
    clippy::inline_always,
    reason = "loops are vectorized only where they are inlined into a variant of `dispatch`"
)]

use std::ops::Range;

use crate::cpu::plan::Plan;
use crate::cpu::simd::{Vectorized, dispatch};
use crate::element::{Element, Float};
use crate::layout::Layout;
use crate::parallel::{Disjoint, parallel_for};
use crate::shape::MAX_RANK;
use crate::tensor::TensorOf;

/// The accumulators of a leaf: two of the widest vectors for f32, to hide the latency of additions.
const LANES: usize = 32;
/// The elements of a leaf.
const LEAF: usize = 2048;
/// The rows of a leaf whose adjacent elements belong to different results, and the maximum number of results at a time.
const LEAF_ROWS: usize = 32;
const COLUMNS: usize = 256;
/// A result of more elements than this is split into chunks that threads share.
const CHUNK: usize = 64 << 10;
/// The minimum number of elements per task.
const GRAIN: usize = 16 << 10;
/// The elements that are summed without a plan.
const FEW: usize = 256;
/// With this many results there is work for all threads without splitting one.
const ENOUGH: usize = 64;

/// An associative operation with a neutral element.
trait Fold<T>: Copy + Sync {
    const NEUTRAL: T;
    fn combine(a: T, b: T) -> T;
}

#[derive(Clone, Copy)]
struct Sum;
#[derive(Clone, Copy)]
struct Max;
#[derive(Clone, Copy)]
struct Min;

impl<T: Float> Fold<T> for Sum {
    const NEUTRAL: T = T::ZERO;
    #[inline(always)]
    fn combine(a: T, b: T) -> T {
        a + b
    }
}

// A NaN in b fails the comparison and is selected; a NaN in a is tested explicitly.
impl<T: Element> Fold<T> for Max {
    const NEUTRAL: T = T::LOWEST;
    #[inline(always)]
    fn combine(a: T, b: T) -> T {
        if a >= b || a.is_nan() { a } else { b }
    }
}

impl<T: Element> Fold<T> for Min {
    const NEUTRAL: T = T::HIGHEST;
    #[inline(always)]
    fn combine(a: T, b: T) -> T {
        if a <= b || a.is_nan() { a } else { b }
    }
}

pub(crate) fn max<T: Element>(x: &TensorOf<T>, axes: &[bool]) -> TensorOf<T> {
    fold::<T, Max>(x, axes)
}

pub(crate) fn min<T: Element>(x: &TensorOf<T>, axes: &[bool]) -> TensorOf<T> {
    fold::<T, Min>(x, axes)
}

pub(crate) fn sum<T: Float>(x: &TensorOf<T>, axes: &[bool]) -> TensorOf<T> {
    fold::<T, Sum>(x, axes)
}

/// The sums (len) for each index of one axis, over all other axes.
pub(crate) fn sum_to_axis<T: Float>(x: &TensorOf<T>, axis: usize) -> TensorOf<T> {
    let len = x.shape()[axis];
    TensorOf::filled_by(len.into(), |y| {
        // Few rows are one leaf. Its plan would take longer than its sums. (A single column would be added in lanes.)
        if axis + 1 == x.rank()
            && (len > 1 || x.numel() <= 1)
            && x.numel() <= FEW.min(LEAF_ROWS * len)
            && let Some(x) = x.as_slice()
        {
            y.fill(T::ZERO);
            return x.chunks_exact(len.max(1)).for_each(|row| combine_into::<T, Sum>(y, row));
        }
        let axes: [bool; MAX_RANK] = std::array::from_fn(|a| a != axis);
        // In any order of axes the results are one after the other.
        fold_into::<T, Sum>(y, x, &Reduction::new(x.layout(), &axes[..x.rank()]));
    })
}

/// The plan of a reduction, independent of the element type.
struct Reduction {
    out: Layout,
    /// The walk over the reduced axes, from the first element.
    within: Plan<1>,
    /// The walk over the axes that are kept.
    across: Plan<1>,
    /// Whether elements that are adjacent in memory belong to the same result.
    rows: bool,
}

impl Reduction {
    fn new(layout: &Layout, axes: &[bool]) -> Self {
        let (shape, (order, rank)) = (layout.shape(), layout.memory_order());
        let order = &order[..rank];
        let out_shape = (0..rank).filter(|&a| axes[a]).fold(shape, |shape, a| shape.with(a, 1));
        let walk = |reduced: bool| {
            let (mut picked, mut count) = ([0; MAX_RANK], 0);
            for &axis in order {
                if axes[axis] == reduced {
                    picked[count] = axis;
                    count += 1;
                }
            }
            Plan::in_order(shape, &picked[..count], [layout])
        };
        let innermost = order.iter().rfind(|&&a| shape[a] > 1);
        Self {
            // In x's order of axes, so that the walk over the axes that are kept meets its elements one by one.
            out: Layout::dense(out_shape, order),
            // Offsets are in the walk over the kept axes; the walk over the reduced ones starts at 0.
            within: walk(true),
            across: walk(false),
            rows: innermost.is_none_or(|&a| axes[a]),
        }
    }
}

fn fold<T: Element, F: Fold<T>>(x: &TensorOf<T>, axes: &[bool]) -> TensorOf<T> {
    let reduction = Reduction::new(x.layout(), axes);
    let mut out = TensorOf::uninitialized(reduction.out);
    fold_into::<T, F>(out.own_buffer_mut().0, x, &reduction);
    out
}

/// Writes the results in the order of the walk over the axes that are kept.
fn fold_into<T: Element, F: Fold<T>>(y: &mut [T], x: &TensorOf<T>, reduction: &Reduction) {
    let Reduction { within, across, rows, .. } = reduction;
    let walk = Walk { data: x.buffer(), within, base: x.layout().offset() as isize };
    if x.numel() == 0 {
        y.fill(F::NEUTRAL);
    } else if *rows {
        fold_rows::<T, F>(y, &walk, across);
    } else {
        fold_columns::<T, F>(y, &walk, across);
    }
}

/// The elements of one result, or of each of several adjacent results.
struct Walk<'a, T> {
    data: &'a [T],
    within: &'a Plan<1>,
    /// The offset to subtract from the positions of `within`, so that they start at the first element.
    base: isize,
}

/// The number of chunks, if a result is split for threads; a function of the shape alone.
fn chunks(results: usize, elements: usize, chunk: usize) -> usize {
    if results >= ENOUGH { 1 } else { elements.div_ceil(chunk) }
}

/// Folds elements that are contiguous within a result.
fn fold_rows<T: Element, F: Fold<T>>(y: &mut [T], walk: &Walk<T>, across: &Plan<1>) {
    let (results, elements) = (across.numel(), walk.within.numel());
    let cuts = chunks(results, elements, CHUNK);
    let run = |out: &mut [T]| {
        let out = Disjoint::new(out);
        parallel_for(results * cuts, GRAIN.div_ceil(elements.min(CHUNK)), |range| {
            for item in range {
                let [start] = across.position(item / cuts);
                let first = item % cuts * CHUNK;
                let last = if cuts == 1 { elements } else { (first + CHUNK).min(elements) };
                let value = fold_tree::<T, F>(walk, start, first..last);
                // SAFETY: each item writes its own element.
                unsafe { *out.ptr(item) = value };
            }
        });
    };
    if cuts == 1 {
        return run(y);
    }
    let mut partial = vec![F::NEUTRAL; results * cuts];
    run(&mut partial);
    for (y, partial) in y.iter_mut().zip(partial.chunks_exact(cuts)) {
        *y = combine_pairwise::<T, F>(partial);
    }
}

/// Folds elements `range` of the walk from `start`, by halves down to leaves.
fn fold_tree<T: Element, F: Fold<T>>(walk: &Walk<T>, start: isize, range: Range<usize>) -> T {
    if range.len() > LEAF {
        let middle = range.start + (range.len() / 2).next_multiple_of(LEAF);
        let left = fold_tree::<T, F>(walk, start, range.start..middle);
        return F::combine(left, fold_tree::<T, F>(walk, start, middle..range.end));
    }
    dispatch(Leaf::<T, F> { walk, start, range, fold: std::marker::PhantomData })
}

fn combine_pairwise<T: Element, F: Fold<T>>(parts: &[T]) -> T {
    match parts {
        [] => F::NEUTRAL,
        [one] => *one,
        _ => {
            let (left, right) = parts.split_at(parts.len().div_ceil(2));
            F::combine(combine_pairwise::<T, F>(left), combine_pairwise::<T, F>(right))
        }
    }
}

struct Leaf<'a, T, F> {
    walk: &'a Walk<'a, T>,
    start: isize,
    range: Range<usize>,
    fold: std::marker::PhantomData<F>,
}

impl<T: Element, F: Fold<T>> Vectorized for Leaf<'_, T, F> {
    type Element = T;
    type Output = T;
    #[inline(always)]
    fn run(self) -> T {
        let Walk { data, within, base } = self.walk;
        let [step] = within.run_strides();
        let away = self.start - base;
        let mut lanes = [F::NEUTRAL; LANES];
        // Short runs are distributed over the lanes like long ones.
        let mut next = 0;
        within.for_runs(self.range, |[at], len| {
            let at = at + away;
            if step == 1 {
                let row = &data[at as usize..at as usize + len];
                let (whole, rest) = row.as_chunks::<LANES>();
                // A copy without variable indexing stays in registers.
                let mut wide = lanes;
                for chunk in whole {
                    for (lane, &x) in wide.iter_mut().zip(chunk) {
                        *lane = F::combine(*lane, x);
                    }
                }
                lanes = wide;
                for &x in rest {
                    lanes[next] = F::combine(lanes[next], x);
                    next = (next + 1) % LANES;
                }
            } else {
                for i in 0..len as isize {
                    lanes[next] = F::combine(lanes[next], data[(at + i * step) as usize]);
                    next = (next + 1) % LANES;
                }
            }
        });
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            for i in 0..width {
                lanes[i] = F::combine(lanes[i], lanes[i + width]);
            }
        }
        lanes[0]
    }
}

/// Folds adjacent results: up to [`COLUMNS`] of them at a time.
fn fold_columns<T: Element, F: Fold<T>>(y: &mut [T], walk: &Walk<T>, across: &Plan<1>) {
    let (columns, rows) = (across.run(), walk.within.numel());
    let width = columns.min(COLUMNS);
    let blocks = columns.div_ceil(COLUMNS);
    let results = across.numel() / columns * blocks;
    let chunk_rows = (CHUNK / width).next_multiple_of(LEAF_ROWS);
    let cuts = chunks(results, rows, chunk_rows);
    let len = y.len();
    // Cut `c` of all results fills elements c·len .. (c + 1)·len.
    let run = |out: &mut [T]| {
        let out = Disjoint::new(out);
        let work = width * if cuts == 1 { rows } else { rows.min(chunk_rows) };
        parallel_for(results * cuts, GRAIN.div_ceil(work), |range| {
            for item in range {
                let (result, cut) = (item / cuts, item % cuts);
                let first = result / blocks * columns + result % blocks * COLUMNS;
                let count = width.min(columns - result % blocks * COLUMNS);
                let [start] = across.position(first);
                let first_row = cut * chunk_rows;
                let last_row = if cuts == 1 { rows } else { (first_row + chunk_rows).min(rows) };
                // SAFETY: each item writes its own columns of its own cut.
                let out = unsafe { out.slice(cut * len + first..cut * len + first + count) };
                column_tree::<T, F>(walk, start, across.run_strides()[0], first_row..last_row, out);
            }
        });
    };
    if cuts == 1 {
        return run(y);
    }
    let mut partial = vec![F::NEUTRAL; len * cuts];
    run(&mut partial);
    let mut step = 1;
    while step < cuts {
        for cut in (0..cuts - step).step_by(2 * step) {
            let (left, right) = partial.split_at_mut((cut + step) * len);
            combine_into::<T, F>(&mut left[cut * len..][..len], &right[..len]);
        }
        step *= 2;
    }
    y.copy_from_slice(&partial[..len]);
}

fn combine_into<T: Element, F: Fold<T>>(y: &mut [T], x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = F::combine(*y, x);
    }
}

/// Folds rows `range` of the columns at `start` with stride `step`, by halves down to leaves.
fn column_tree<T: Element, F: Fold<T>>(walk: &Walk<T>, start: isize, step: isize, range: Range<usize>, out: &mut [T]) {
    if range.len() > LEAF_ROWS {
        let middle = range.start + (range.len() / 2).next_multiple_of(LEAF_ROWS);
        let mut right = [F::NEUTRAL; COLUMNS];
        let right = &mut right[..out.len()];
        column_tree::<T, F>(walk, start, step, range.start..middle, out);
        column_tree::<T, F>(walk, start, step, middle..range.end, right);
        combine_into::<T, F>(out, right);
        return;
    }
    dispatch(LeafColumns::<T, F> { walk, start, step, range, out, fold: std::marker::PhantomData });
}

struct LeafColumns<'a, T, F> {
    walk: &'a Walk<'a, T>,
    start: isize,
    step: isize,
    range: Range<usize>,
    out: &'a mut [T],
    fold: std::marker::PhantomData<F>,
}

impl<T: Element, F: Fold<T>> Vectorized for LeafColumns<'_, T, F> {
    type Element = T;
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Walk { data, within, base } = self.walk;
        let [row_step] = within.run_strides();
        let away = self.start - base;
        self.out.fill(F::NEUTRAL);
        within.for_runs(self.range, |[at], len| {
            for i in 0..len as isize {
                let at = at + away + i * row_step;
                if self.step == 1 {
                    let row = &data[at as usize..at as usize + self.out.len()];
                    for (y, &x) in self.out.iter_mut().zip(row) {
                        *y = F::combine(*y, x);
                    }
                } else {
                    for (j, y) in self.out.iter_mut().enumerate() {
                        *y = F::combine(*y, data[(at + j as isize * self.step) as usize]);
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests;
