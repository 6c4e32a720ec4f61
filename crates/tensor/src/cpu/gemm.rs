//! Matrix products larger than a few tiles.
//!
//! The result is split into blocks, one per task. A block's part of b is packed, up to a few hundred rows at a time, into
//! panels that stay in L2; a is read in place.

#![expect(clippy::inline_always, reason = "loops are compiled with the features of the variant they are inlined into")]

use std::ops::Range;

use crate::cpu::product_tile::{Operand, product, tile_rows};
use crate::cpu::simd::{Registers, Tiled, Vector, dispatch_tiled};
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::{Disjoint, parallel_for};
use crate::tensor::TensorOf;

/// The columns of a panel: a multiple of the tile width of every level.
const PANEL: usize = 32;
/// The maximum number of rows of b that are packed at a time.
const DEPTH: usize = 256;
/// The maximum number of columns and rows of a block.
const BLOCK: [usize; 2] = [256, 256];
/// The minimum number of blocks, to keep the threads busy.
const TASKS: usize = 16;

/// A strided matrix in a buffer.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a, T> {
    pub(super) buffer: &'a [T],
    pub(super) start: usize,
    pub(super) row: isize,
    pub(super) column: isize,
}

impl<T: Float> Matrix<'_, T> {
    /// The address of an element; elements before it are reachable from it too.
    fn address(&self, i: usize, j: usize) -> *const T {
        self.buffer.as_ptr().wrapping_add(self.at(i, j))
    }

    fn at(&self, i: usize, j: usize) -> usize {
        (self.start as isize + i as isize * self.row + j as isize * self.column) as usize
    }
}

/// `c = a · b`, each column initialized with its bias, if any: (M, K) · (K, N); c is contiguous.
pub(super) fn gemm<T: Float>(
    [m, k, n]: [usize; 3],
    a: Matrix<T>,
    b: Matrix<T>,
    bias: Option<&TensorOf<T>>,
    c: &mut [T],
) {
    let panels = n.div_ceil(PANEL);
    let mut columns = (panels * PANEL).min(BLOCK[0]);
    let mut rows = m.next_multiple_of(8).min(BLOCK[1]);
    // Halve blocks until there are enough. Narrow blocks pack a smaller share of b; low blocks pack it more often.
    while m.div_ceil(rows) * n.div_ceil(columns) < TASKS && (columns > PANEL || rows > 64) {
        if columns > 2 * PANEL || rows <= 64 {
            columns = (columns / 2).next_multiple_of(PANEL);
        } else {
            rows = (rows / 2).next_multiple_of(8);
        }
    }
    let bias = bias.map(|b| (0..n).map(|j| b.at(&[j])).collect::<Vec<_>>());
    let work = Work { sizes: [m, k, n], block: [columns, rows], a, b, bias: bias.as_deref(), c: &Disjoint::new(c) };
    let tasks = m.div_ceil(rows) * n.div_ceil(columns);
    parallel_for(tasks, (1_usize << 17).div_ceil(rows * columns * k), |range| {
        dispatch_tiled(Tasks { work: &work, range });
    });
}

struct Work<'a, T> {
    sizes: [usize; 3],
    /// Columns and rows of a block.
    block: [usize; 2],
    a: Matrix<'a, T>,
    b: Matrix<'a, T>,
    bias: Option<&'a [T]>,
    c: &'a Disjoint<'a, T>,
}

struct Tasks<'a, T> {
    work: &'a Work<'a, T>,
    range: Range<usize>,
}

impl<T: Float> Tiled for Tasks<'_, T> {
    type Element = T;
    type Output = ();

    #[inline(always)]
    fn run<R: Registers>(self) {
        let Self { work, range } = self;
        let ([m, k, n], [columns, rows]) = (work.sizes, work.block);
        let high = tile_rows::<R>();
        let depth = k.min(DEPTH);
        let mut memory =
            TensorOf::<T>::uninitialized(Layout::contiguous((depth * (columns + high) + high * columns).into()));
        let (packed, rest) = memory.buffer_mut().0.split_at_mut(depth * columns);
        let (last_rows, edge) = rest.split_at_mut(depth * high);
        let across = n.div_ceil(columns);
        for task in range {
            let (top, left) = (task / across * rows, task % across * columns);
            let (count, wide) = (rows.min(m - top), columns.min(n - left));
            for first in (0..k).step_by(depth) {
                let deep = depth.min(k - first);
                pack::<T, R>(work.b, first..first + deep, left..left + wide, packed);
                for i in (top..top + count).step_by(high) {
                    let whole = i + high <= top + count;
                    let a = if whole {
                        let start = work.a.address(i, first);
                        Operand { start, row: work.a.row, column: work.a.column }
                    } else {
                        for (l, to) in last_rows.chunks_exact_mut(high).take(deep).enumerate() {
                            for (h, to) in to.iter_mut().enumerate() {
                                *to = if i + h < top + count {
                                    work.a.buffer[work.a.at(i + h, first + l)]
                                } else {
                                    T::ZERO
                                };
                            }
                        }
                        Operand { start: last_rows.as_ptr(), row: 1, column: high as isize }
                    };
                    let height = high.min(top + count - i);
                    for j in (0..wide).step_by(PANEL) {
                        let b = packed[j * deep..].as_ptr();
                        let width = PANEL.min(wide - j);
                        // SAFETY: no other task writes this block of c.
                        let row =
                            |h: usize| unsafe { work.c.slice((i + h) * n + left + j..(i + h) * n + left + j + width) };
                        let inside = whole && width == PANEL;
                        if first == 0
                            && let Some(bias) = work.bias
                        {
                            for h in 0..height {
                                row(h).copy_from_slice(&bias[left + j..left + j + width]);
                            }
                        }
                        let accumulate = first > 0 || work.bias.is_some();
                        let (c, step) =
                            if inside { (work.c.ptr(i * n + left + j), n) } else { (edge.as_mut_ptr(), PANEL) };
                        if !inside && accumulate {
                            for (h, edge) in edge.chunks_exact_mut(PANEL).take(height).enumerate() {
                                edge[..width].copy_from_slice(row(h));
                            }
                        }
                        // (rows, columns) += (rows, K) · (K, columns)
                        // SAFETY: a has whole tiles of rows, b whole panels; the tile is in bounds of c or of a padded buffer.
                        unsafe { product::<T, R>([high, deep, PANEL], a, (b, PANEL), (c, step), accumulate) };
                        if !inside {
                            for (h, edge) in edge.chunks_exact(PANEL).take(height).enumerate() {
                                row(h).copy_from_slice(&edge[..width]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Packs a part of b into panels: `packed[panel][k][column]`, padded with zeros after the last column.
#[inline(always)]
fn pack<T: Float, R: Registers>(b: Matrix<T>, k: Range<usize>, columns: Range<usize>, packed: &mut [T]) {
    let (deep, lanes) = (k.len(), T::Vector::<R>::LANES);
    for (panel, to) in packed.chunks_mut(deep * PANEL).enumerate() {
        let first = columns.start + panel * PANEL;
        if first >= columns.end {
            return;
        }
        let width = PANEL.min(columns.end - first);
        if b.column == 1 {
            for (l, to) in to.chunks_exact_mut(PANEL).enumerate() {
                let from = &b.buffer[b.at(k.start + l, first)..][..width];
                if width == PANEL {
                    to.copy_from_slice(from);
                } else {
                    to[..width].copy_from_slice(from);
                    to[width..].fill(T::ZERO);
                }
            }
            continue;
        }
        let squares = if b.row == 1 && width == PANEL { deep / lanes * lanes } else { 0 };
        for l in (0..squares).step_by(lanes) {
            for j in (0..PANEL).step_by(lanes) {
                let from = b.address(k.start + l, first + j);
                // SAFETY: a square of lanes × lanes elements is in bounds of b and of the panel.
                unsafe {
                    T::Vector::<R>::transpose(from, b.column, to[l * PANEL + j..].as_mut_ptr(), PANEL);
                }
            }
        }
        for (l, to) in to.chunks_exact_mut(PANEL).enumerate().skip(squares) {
            for (j, to) in to.iter_mut().enumerate() {
                *to = if j < width { b.buffer[b.at(k.start + l, first + j)] } else { T::ZERO };
            }
        }
    }
}
