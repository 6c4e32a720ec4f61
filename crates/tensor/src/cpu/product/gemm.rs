//! Matrix products larger than a few tiles, after Goto, van de Geijn: "Anatomy of high-performance matrix multiplication", 2008.
//!
//! `a` is packed as a whole, into strips of as many rows as a tile has, in which the elements that a step of the tile needs are
//! adjacent. Then the result is split into blocks, one per task. A task goes through `k` in pieces; of each piece it packs some
//! columns of `b`, into panels as wide as a tile. A panel stays in the L1 cache while the strips of `a` stream from L2.
//!
//! The sizes of blocks and pieces come from the machine's caches. None of them changes the order of a sum: every element of the
//! result is one chain of multiply-adds in the order of `k`, which continues where the last piece has ended.

#![expect(clippy::inline_always, reason = "loops are compiled with the features of the variant they are inlined into")]

use std::marker::PhantomData;
use std::ops::Range;

use super::{GRAIN, Matrix};
use crate::cpu::caches::{Caches, caches};
use crate::cpu::product::tile::{MAX_TILE_ROWS, Operand, ROW_GROUP, padded_rows, product, tile_columns, tiles};
use crate::cpu::simd::{Registers, Tiled, Vector, dispatch_tiled, prefetch};
use crate::cpu::tasks::{Tasks, parallel_tasks};
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::{Disjoint, is_shared, threads};
use crate::tensor::TensorOf;

/// The columns of a block are a multiple of this, which is a multiple of the width of a tile at every level.
const COLUMN_STEP: usize = 32;
/// The minimum number of blocks for each of several threads, to keep them busy.
const TASKS: usize = 4;
/// Rows of b that are asked for before they are packed.
const AHEAD: usize = 6;

/// How a product is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blocking {
    /// Rows and columns of a block: multiples of [`ROW_GROUP`] and of [`COLUMN_STEP`].
    rows: usize,
    columns: usize,
    /// Steps of k of a piece.
    depth: usize,
    /// Columns of b that are packed at a time, a multiple of [`COLUMN_STEP`]: one alone would be read a few bytes from each row.
    packed: usize,
}

impl Blocking {
    /// For tiles of `wide` columns; `along_k` if the elements of a column of b are adjacent.
    fn new<T>([m, k, n]: [usize; 3], wide: usize, along_k: bool, caches: Caches, threads: usize) -> Self {
        let tasks = if threads == 1 { 1 } else { TASKS * threads };
        // A panel takes half of L1, the strips of a block half of L2.
        let depth = (caches.l1 / 2 / (wide * size_of::<T>())).clamp(64, 512).min(k);
        let most = (caches.l2 / 2 / (depth * size_of::<T>()) / ROW_GROUP).max(1) * ROW_GROUP;
        let mut rows = m.div_ceil(m.div_ceil(most)).next_multiple_of(ROW_GROUP);
        // Each panel is packed once per block of rows, so that rows are only divided where columns cannot be.
        let mut columns = n.next_multiple_of(COLUMN_STEP);
        if along_k {
            // A few columns of b, from end to end: the processor then looks ahead to what is needed next.
            columns = columns.min(2 * COLUMN_STEP);
        }
        while m.div_ceil(rows) * n.div_ceil(columns) < tasks && (columns > COLUMN_STEP || rows > 2 * ROW_GROUP) {
            if columns > COLUMN_STEP {
                columns = (columns / 2).next_multiple_of(COLUMN_STEP);
            } else {
                rows = (rows / 2).next_multiple_of(ROW_GROUP);
            }
        }
        let most = (caches.l2 / 4 / (depth * size_of::<T>()) / COLUMN_STEP).max(1) * COLUMN_STEP;
        Self { rows, columns, depth, packed: columns.min(most) }
    }
}

/// `c = a · b`: (M, K) · (K, N) → (M, N), c contiguous; each column starts from its bias (N), if there is one, else from 0.
pub(super) fn gemm<T: Float>(sizes: [usize; 3], a: Matrix<T>, b: Matrix<T>, bias: Option<&[T]>, c: &mut [T]) {
    let [m, k, n] = sizes;
    let wide = dispatch_tiled(TileColumns::<T>(PhantomData));
    let blocking = Blocking::new::<T>(sizes, wide, b.row == 1, caches(), if is_shared() { 1 } else { threads() });
    let mut strips = TensorOf::<T>::uninitialized(Layout::contiguous((m.next_multiple_of(MAX_TILE_ROWS) * k).into()));
    {
        let strips = Disjoint::new(strips.buffer_mut().0);
        let blocks = m.div_ceil(ROW_GROUP);
        let work = PackRows { sizes, a, depth: blocking.depth, strips: &strips };
        parallel_tasks(blocks, (GRAIN / 8).div_ceil(ROW_GROUP * k), &work);
    }
    let Blocking { rows, columns, .. } = blocking;
    let work = Work { sizes, blocking, strips: strips.buffer(), b, bias, c: &Disjoint::new(c) };
    let tasks = m.div_ceil(rows) * n.div_ceil(columns);
    parallel_tasks(tasks, GRAIN.div_ceil(rows * columns * k), &work);
}

/// The rows of a when packed.
#[inline(always)]
const fn packed_rows<R: Registers>(m: usize) -> usize {
    let rest = m % ROW_GROUP;
    if rest == 0 { m } else { m - rest + padded_rows::<R>(rest) }
}

/// The columns of a tile at the level in use.
struct TileColumns<T>(PhantomData<T>);

impl<T: Float> Tiled for TileColumns<T> {
    type Element = T;
    type Output = usize;

    #[inline(always)]
    fn run<R: Registers>(self) -> usize {
        tile_columns::<T, R>()
    }
}

/// Packs the rows of some blocks of [`ROW_GROUP`] rows of a: for each piece of k, `strips[strip][k][row of the strip]`; rows after the
/// last are 0.
struct PackRows<'a, T> {
    sizes: [usize; 3],
    a: Matrix<'a, T>,
    depth: usize,
    strips: &'a Disjoint<'a, T>,
}

impl<T: Float> Tasks for PackRows<'_, T> {
    type Element = T;

    #[inline(always)]
    fn run<R: Registers>(&self, groups: Range<usize>) {
        let &Self { sizes: [m, k, _], a, depth, strips } = self;
        let padded = packed_rows::<R>(m);
        for first in (0..k).step_by(depth) {
            let deep = depth.min(k - first);
            for (i, high) in groups.clone().flat_map(|group| tiles::<R>(group * ROW_GROUP, padded)) {
                let at = first * padded + i * deep;
                // SAFETY: each strip is written by one task.
                let to = unsafe { strips.slice(at..at + high * deep) };
                pack_rows(a, (i, high.min(m - i)), first, high, to);
            }
        }
    }
}

/// Packs the `inside` rows of a from row `i` on as a strip of `high` rows, from column `first` on.
#[inline(always)]
fn pack_rows<T: Float>(a: Matrix<T>, (i, inside): (usize, usize), first: usize, high: usize, to: &mut [T]) {
    let deep = to.len() / high;
    if a.row == 1 && inside == high {
        for (l, to) in to.chunks_exact_mut(high).enumerate() {
            to.copy_from_slice(&a.buffer[a.at(i, first + l)..][..high]);
        }
        return;
    }
    if a.column == 1 && inside == high {
        // `const` lengths, for loops without branches.
        macro_rules! rows {
            ($high:literal) => {{
                let rows: [&[T]; $high] = std::array::from_fn(|h| &a.buffer[a.at(i + h, first)..][..deep]);
                for (l, to) in to.chunks_exact_mut($high).enumerate() {
                    for h in 0..$high {
                        to[h] = rows[h][l];
                    }
                }
            }};
        }
        match high {
            4 => rows!(4),
            6 => rows!(6),
            8 => rows!(8),
            _ => unreachable!("tiles have 4, 6 or 8 rows"),
        }
        return;
    }
    for (l, to) in to.chunks_exact_mut(high).enumerate() {
        for (h, to) in to.iter_mut().enumerate() {
            *to = if h < inside { a.get(i + h, first + l) } else { T::ZERO };
        }
    }
}

struct Work<'a, T> {
    sizes: [usize; 3],
    blocking: Blocking,
    /// a, packed.
    strips: &'a [T],
    b: Matrix<'a, T>,
    bias: Option<&'a [T]>,
    c: &'a Disjoint<'a, T>,
}

impl<T: Float> Tasks for Work<'_, T> {
    type Element = T;

    #[inline(always)]
    fn run<R: Registers>(&self, tasks: Range<usize>) {
        let ([m, k, n], Blocking { rows, columns, depth, packed }) = (self.sizes, self.blocking);
        let (wide, across) = (tile_columns::<T, R>(), n.div_ceil(columns));
        let mut memory =
            TensorOf::<T>::uninitialized(Layout::contiguous((packed * depth + wide * MAX_TILE_ROWS).into()));
        let (panels, edge) = memory.buffer_mut().0.split_at_mut(packed * depth);
        for task in tasks {
            let (top, left) = (task / across * rows, task % across * columns);
            let (rows, right) = (top..(top + rows).min(m), (left + columns).min(n));
            for first in (0..k).step_by(depth) {
                let pieces = first..(first + depth).min(k);
                for left in (left..right).step_by(packed) {
                    let columns = left..(left + packed).min(right);
                    pack_panels::<T, R>(self.b, pieces.clone(), columns.clone(), panels);
                    for (panel, j) in panels.chunks_exact(wide * pieces.len()).zip(columns.clone().step_by(wide)) {
                        let columns = j..(j + wide).min(columns.end);
                        self.panel::<R>(rows.clone(), pieces.clone(), columns, panel, edge);
                    }
                }
            }
        }
    }
}

impl<T: Float> Work<'_, T> {
    /// Adds to some rows of a panel's columns of c the products of a piece of k.
    #[inline(always)]
    fn panel<R: Registers>(
        &self,
        rows: Range<usize>,
        k: Range<usize>,
        columns: Range<usize>,
        panel: &[T],
        edge: &mut [T],
    ) {
        let (j, width) = (columns.start, columns.len());
        let ([m, _, n], wide, deep) = (self.sizes, tile_columns::<T, R>(), k.len());
        let padded = packed_rows::<R>(m);
        let accumulate = k.start > 0 || self.bias.is_some();
        // SAFETY: no other task writes this block of c.
        let row = |i: usize| unsafe { self.c.slice(i * n + j..i * n + j + width) };
        if k.start == 0
            && let Some(bias) = self.bias
        {
            for i in rows.clone() {
                row(i).copy_from_slice(&bias[j..j + width]);
            }
        }
        // Columns in whole registers.
        let columns = width.next_multiple_of(T::Vector::<R>::LANES);
        let groups = (rows.start..rows.end).step_by(ROW_GROUP);
        for (i, high) in groups.flat_map(|first| tiles::<R>(first, padded)) {
            let a =
                Operand { start: self.strips[k.start * padded + i * deep..].as_ptr(), row: 1, column: high as isize };
            let b = (panel.as_ptr(), wide);
            if i + high <= m && width == wide {
                // SAFETY: a and b are whole tiles, and so is this part of c.
                unsafe { product::<T, R>([high, deep, wide], a, b, (self.c.ptr(i * n + j), n), accumulate) };
            } else {
                let inside = high.min(m - i);
                if accumulate {
                    for (h, edge) in edge.chunks_exact_mut(wide).take(inside).enumerate() {
                        edge[..width].copy_from_slice(row(i + h));
                    }
                }
                // SAFETY: a and b are whole tiles; the edge has the size of one.
                unsafe { product::<T, R>([high, deep, columns], a, b, (edge.as_mut_ptr(), wide), accumulate) };
                for (h, edge) in edge.chunks_exact(wide).take(inside).enumerate() {
                    row(i + h).copy_from_slice(&edge[..width]);
                }
            }
        }
    }
}

/// Packs columns of b into panels as wide as a tile: `panels[panel][k][column]`, padded with zeros after the last column.
#[inline(always)]
fn pack_panels<T: Float, R: Registers>(b: Matrix<T>, k: Range<usize>, columns: Range<usize>, panels: &mut [T]) {
    let (lanes, wide, deep) = (T::Vector::<R>::LANES, tile_columns::<T, R>(), k.len());
    let whole = columns.len() / wide * wide;
    let mut done = 0;
    if b.column == 1 {
        for l in 0..deep {
            // The rows are on different pages, where the processor does not look ahead.
            let ahead = b.address(k.start + l + AHEAD, columns.start);
            let from = &b.buffer[b.at(k.start + l, columns.start)..][..whole];
            for (from, to) in from.chunks_exact(lanes).zip((0..whole).step_by(lanes)) {
                prefetch(ahead.wrapping_add(to));
                let to = &mut panels[(to / wide * deep + l) * wide + to % wide..][..lanes];
                // SAFETY: both are a register long.
                unsafe { T::Vector::<R>::load(from.as_ptr()).store(to.as_mut_ptr()) };
            }
        }
        done = deep;
    } else if b.row == 1 {
        done = deep / lanes * lanes;
        for j in (0..whole).step_by(lanes) {
            let to = &mut panels[j / wide * deep * wide + j % wide..];
            for l in (0..done).step_by(lanes) {
                let from = b.address(k.start + l, columns.start + j);
                // SAFETY: a square of lanes × lanes elements is in bounds of b and of the panel.
                unsafe { T::Vector::<R>::transpose(from, b.column, to[l * wide..].as_mut_ptr(), wide) };
            }
        }
    }
    for (panel, to) in panels.chunks_exact_mut(deep * wide).enumerate().take(columns.len().div_ceil(wide)) {
        let width = wide.min(columns.len() - panel * wide);
        let first = if width == wide { done } else { 0 };
        for (l, to) in to.chunks_exact_mut(wide).enumerate().skip(first) {
            for (j, to) in to.iter_mut().enumerate() {
                let column = columns.start + panel * wide + j;
                *to = if j < width { b.get(k.start + l, column) } else { T::ZERO };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::caches::with_caches;
    use crate::cpu::simd::{Level, at_each_level, level};
    use crate::parallel::with_threads;

    fn numbers<T: Float>(len: usize, seed: usize) -> Vec<T> {
        (0..len).map(|i| T::from_f64(((i * 7919 + seed * 104_729 + 17) % 1009) as f64 / 504.5 - 1.0)).collect()
    }

    /// One chain of multiply-adds for each element.
    fn chains<T: Float>(
        [m, k, n]: [usize; 3],
        [a, b]: [Matrix<T>; 2],
        bias: Option<&[T]>,
        mul_add: impl Fn(T, T, T) -> T,
    ) -> Vec<T> {
        let element = |i: usize, j: usize| {
            (0..k).fold(bias.map_or(T::ZERO, |bias| bias[j]), |sum, l| mul_add(a.get(i, l), b.get(l, j), sum))
        };
        (0..m * n).map(|at| element(at / n, at % n)).collect()
    }

    /// A matrix in row-major or column-major order, of every second element, or upside down.
    fn matrix<T>(buffer: &[T], order: char, [rows, columns]: [usize; 2]) -> Matrix<'_, T> {
        let (start, row, column) = match order {
            'r' => (0, columns as isize, 1),
            'c' => (0, 1, rows as isize),
            's' => (1, 2 * columns as isize, 2),
            _ => ((rows - 1) * columns, -(columns as isize), 1),
        };
        Matrix { buffer, start, row, column }
    }

    fn check<T: Float>(mul_add: impl Fn(T, T, T) -> T, bits: impl Fn(T) -> u64) {
        let caches = [Caches { l1: 1 << 10, l2: 4 << 10 }, Caches { l1: 48 << 10, l2: 2 << 20 }];
        // Fused where the level's are.
        let fused = level() > Level::Portable || cfg!(target_arch = "aarch64");
        let mul_add = |a: T, b: T, c: T| if fused { mul_add(a, b, c) } else { a * b + c };
        let sizes = [[8, 8, 16], [50, 70, 33], [97, 130, 65], [1, 5, 3], [145, 67, 160], [290, 130, 40]];
        for (seed, sizes) in sizes.into_iter().enumerate() {
            let [m, k, n] = sizes;
            let (a, b, bias) = (numbers(2 * m * k, seed), numbers(2 * k * n, seed + 50), numbers(n, seed + 90));
            for (orders, biased) in
                [(['r', 'r'], true), (['c', 'r'], false), (['r', 'c'], true), (['s', 's'], false), (['u', 'u'], true)]
            {
                let (a, b) = (matrix(&a, orders[0], [m, k]), matrix(&b, orders[1], [k, n]));
                let bias = biased.then_some(&bias[..]);
                let expected: Vec<u64> = chains(sizes, [a, b], bias, mul_add).into_iter().map(&bits).collect();
                for caches in caches {
                    for threads in [1, 3] {
                        let mut c = vec![T::ZERO; m * n];
                        with_threads(threads, || with_caches(caches, || gemm(sizes, a, b, bias, &mut c)));
                        let found: Vec<u64> = c.into_iter().map(&bits).collect();
                        assert!(found == expected, "{:?} {sizes:?} {orders:?} {caches:?}, {threads} threads", level());
                    }
                }
            }
        }
    }

    #[test]
    fn every_level_order_of_axes_and_size_of_caches_gives_the_bits_of_one_chain_in_k() {
        at_each_level(|_| {
            check(f32::mul_add, |x| u64::from(x.to_bits()));
            check(f64::mul_add, f64::to_bits);
        });
    }

    #[test]
    fn blocks_fit_the_caches_and_keep_the_threads_busy() {
        let small = Caches { l1: 32 << 10, l2: 256 << 10 };
        let blocking = |sizes, threads| Blocking::new::<f32>(sizes, 16, false, small, threads);
        assert_eq!(blocking([2048; 3], 1), Blocking { rows: 96, columns: 2048, depth: 256, packed: 64 });
        assert_eq!(blocking([64, 5760, 1024], 2), Blocking { rows: 96, columns: 128, depth: 256, packed: 64 });
        assert_eq!(blocking([2000, 100, 32], 4), Blocking { rows: 96, columns: 32, depth: 100, packed: 32 });
        let wider = Blocking::new::<f32>([64, 5760, 1024], 32, true, small, 1);
        assert_eq!([wider.columns, wider.depth], [64, 128], "a few columns end to end, half of L1");
    }
}
