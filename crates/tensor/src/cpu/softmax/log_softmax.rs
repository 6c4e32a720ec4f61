//! log-softmax.

use std::ops::Range;

use super::{Along, LANES, Neighbors, Rows, WIDTH, exponentials, exponentials_of, sum_of};
use crate::cpu::strided::in_order;
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::Disjoint;
use crate::tensor::TensorOf;

/// `y = x − max − ln Σ exp(x − max)`. A row is NaN if it contains NaN or +∞, or is all −∞; otherwise −∞ stays.
pub(crate) fn log_softmax<T: Float>(x: &TensorOf<T>, axis: usize) -> TensorOf<T> {
    let (order, rank) = x.layout().memory_order();
    let order = &order[..rank];
    let mut y = TensorOf::uninitialized(Layout::dense(x.shape(), order));
    let rows = Rows::new(y.layout(), order, axis);
    rows.for_each(&Forward { x: &in_order(x, order), y: Disjoint::new(y.buffer_mut().0) });
    y
}

struct Forward<'a, T> {
    x: &'a [T],
    y: Disjoint<'a, T>,
}

impl<T: Float> Along for Forward<'_, T> {
    type Element = T;
    #[inline(always)]
    fn one(&self, row: Range<usize>, _number: usize) {
        let x = &self.x[row.clone()];
        let [max, sum] = exponentials_of(x);
        let ln = T::ln(sum);
        // SAFETY: each row belongs to one task.
        for (y, &x) in unsafe { self.y.slice(row) }.iter_mut().zip(x) {
            *y = x - max - ln;
        }
    }

    #[inline(always)]
    fn many(&self, rows: &Neighbors) {
        let [max, mut ln] = exponentials(self.x, rows);
        for ln in &mut ln {
            *ln = T::ln(*ln);
        }
        for piece in rows.pieces() {
            // SAFETY: each piece belongs to one task.
            let y = unsafe { self.y.slice(piece.clone()) };
            for (((y, &x), &max), &ln) in y.iter_mut().zip(&self.x[piece]).zip(&max).zip(&ln) {
                *y = x - max - ln;
            }
        }
    }
}

/// `dx = dy − exp(y) · Σ dy`.
pub(crate) fn log_softmax_backward<T: Float>(dy: &TensorOf<T>, y: &TensorOf<T>, axis: usize) -> TensorOf<T> {
    let (order, rank) = y.layout().memory_order();
    let order = &order[..rank];
    let mut dx = TensorOf::uninitialized(Layout::dense(y.shape(), order));
    let rows = Rows::new(dx.layout(), order, axis);
    let (dy, y) = (in_order(dy, order), in_order(y, order));
    rows.for_each(&Backward { dy: &dy, y: &y, dx: Disjoint::new(dx.buffer_mut().0) });
    dx
}

struct Backward<'a, T> {
    dy: &'a [T],
    y: &'a [T],
    dx: Disjoint<'a, T>,
}

impl<T: Float> Along for Backward<'_, T> {
    type Element = T;
    #[inline(always)]
    fn one(&self, row: Range<usize>, _number: usize) {
        let (dy, y) = (&self.dy[row.clone()], &self.y[row.clone()]);
        let mut lanes = [T::ZERO; LANES];
        for dy in dy.chunks(LANES) {
            for (sum, &dy) in lanes.iter_mut().zip(dy) {
                *sum += dy;
            }
        }
        let sum = sum_of(lanes);
        // SAFETY: each row belongs to one task.
        for ((dx, &dy), &y) in unsafe { self.dx.slice(row) }.iter_mut().zip(dy).zip(y) {
            *dx = dy - T::exp(y) * sum;
        }
    }

    #[inline(always)]
    fn many(&self, rows: &Neighbors) {
        let mut sum = [T::ZERO; WIDTH];
        for piece in rows.pieces() {
            for (sum, &dy) in sum.iter_mut().zip(&self.dy[piece]) {
                *sum += dy;
            }
        }
        for piece in rows.pieces() {
            let (dy, y) = (&self.dy[piece.clone()], &self.y[piece.clone()]);
            // SAFETY: each piece belongs to one task.
            for (((dx, &dy), &y), &sum) in unsafe { self.dx.slice(piece) }.iter_mut().zip(dy).zip(y).zip(&sum) {
                *dx = dy - T::exp(y) * sum;
            }
        }
    }
}
