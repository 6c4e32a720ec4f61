//! Cross-entropy of logits and labels, one loss per sample.

use std::ops::Range;

use super::{Along, Neighbors, Rows, WIDTH, exponentials, exponentials_of};
use crate::cpu::strided::in_order;
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::Disjoint;
use crate::tensor::TensorOf;

/// The axis of the classes.
const CLASSES: usize = 1;

/// The order of the labels' axes, given that of the logits': the same without the classes.
fn of_labels(order: &[usize]) -> Vec<usize> {
    order.iter().filter(|&&axis| axis != CLASSES).map(|&axis| if axis > CLASSES { axis - 1 } else { axis }).collect()
}

/// The losses `ln Σ exp(x − max) − (x[label] − max)`, max and `ln Σ exp(x − max)`: x (N,C,…), all others (N,…).
///
/// A loss is NaN if its logits contain NaN or +∞, or are all −∞.
pub(crate) fn cross_entropy<T: Float>(x: &TensorOf<T>, labels: &TensorOf<i32>) -> [TensorOf<T>; 3] {
    let (order, rank) = x.layout().memory_order();
    let (order, of_labels) = (&order[..rank], of_labels(&order[..rank]));
    let rows = Rows::new(&Layout::dense(x.shape(), order), order, CLASSES);
    let mut out: [_; 3] = std::array::from_fn(|_| TensorOf::uninitialized(Layout::dense(labels.shape(), &of_labels)));
    let [loss, max, ln] = &mut out;
    rows.for_each(&Forward {
        x: &in_order(x, order),
        labels: &in_order(labels, &of_labels),
        loss: Disjoint::new(loss.buffer_mut().0),
        max: Disjoint::new(max.buffer_mut().0),
        ln: Disjoint::new(ln.buffer_mut().0),
    });
    out
}

struct Forward<'a, T> {
    x: &'a [T],
    labels: &'a [i32],
    loss: Disjoint<'a, T>,
    max: Disjoint<'a, T>,
    ln: Disjoint<'a, T>,
}

impl<T: Float> Along for Forward<'_, T> {
    type Element = T;
    #[inline(always)]
    fn one(&self, row: Range<usize>, number: usize) {
        let x = &self.x[row];
        let [max, sum] = exponentials_of(x);
        let ln = T::ln(sum);
        let at = number..number + 1;
        // SAFETY: each row belongs to one task.
        let [to_loss, to_max, to_ln] = unsafe { [&self.loss, &self.max, &self.ln].map(|out| out.slice(at.clone())) };
        to_loss[0] = ln - (x[self.labels[number] as usize] - max);
        (to_max[0], to_ln[0]) = (max, ln);
    }

    #[inline(always)]
    fn many(&self, rows: &Neighbors) {
        let [max, mut ln] = exponentials(self.x, rows);
        for ln in &mut ln {
            *ln = T::ln(*ln);
        }
        let labels = &self.labels[rows.numbers()];
        // SAFETY: each row belongs to one task.
        let [to_loss, to_max, to_ln] =
            unsafe { [&self.loss, &self.max, &self.ln].map(|out| out.slice(rows.numbers())) };
        for (lane, &label) in labels.iter().enumerate() {
            let logit = self.x[rows.start + label as usize * rows.inner + lane];
            to_loss[lane] = ln[lane] - (logit - max[lane]);
        }
        to_max.copy_from_slice(&max[..rows.width]);
        to_ln.copy_from_slice(&ln[..rows.width]);
    }
}

/// `dx = dy · (exp(x − max − ln) − onehot(label))`, where max and ln are [`cross_entropy`]'s: x (N,C,…), all others (N,…).
pub(crate) fn cross_entropy_backward<T: Float>(
    dy: &TensorOf<T>,
    x: &TensorOf<T>,
    labels: &TensorOf<i32>,
    max: &TensorOf<T>,
    ln: &TensorOf<T>,
) -> TensorOf<T> {
    let (order, rank) = x.layout().memory_order();
    let (order, of_labels) = (&order[..rank], of_labels(&order[..rank]));
    let mut dx = TensorOf::uninitialized(Layout::dense(x.shape(), order));
    let rows = Rows::new(dx.layout(), order, CLASSES);
    rows.for_each(&Backward {
        x: &in_order(x, order),
        dy: &in_order(dy, &of_labels),
        labels: &in_order(labels, &of_labels),
        max: &in_order(max, &of_labels),
        ln: &in_order(ln, &of_labels),
        dx: Disjoint::new(dx.buffer_mut().0),
    });
    dx
}

struct Backward<'a, T> {
    x: &'a [T],
    dy: &'a [T],
    labels: &'a [i32],
    max: &'a [T],
    ln: &'a [T],
    dx: Disjoint<'a, T>,
}

impl<T: Float> Along for Backward<'_, T> {
    type Element = T;
    #[inline(always)]
    fn one(&self, row: Range<usize>, number: usize) {
        let (dy, max, ln) = (self.dy[number], self.max[number], self.ln[number]);
        // SAFETY: each row belongs to one task.
        let dx = unsafe { self.dx.slice(row.clone()) };
        for (dx, &x) in dx.iter_mut().zip(&self.x[row]) {
            *dx = dy * T::exp(x - max - ln);
        }
        let label = self.labels[number] as usize;
        dx[label] -= dy;
    }

    #[inline(always)]
    fn many(&self, rows: &Neighbors) {
        let copy = |from: &[T]| {
            let mut row = [T::ZERO; WIDTH];
            row[..rows.width].copy_from_slice(&from[rows.numbers()]);
            row
        };
        let (dy, max, ln) = (copy(self.dy), copy(self.max), copy(self.ln));
        for piece in rows.pieces() {
            // SAFETY: each piece belongs to one task.
            let dx = unsafe { self.dx.slice(piece.clone()) };
            for ((((dx, &x), &dy), &max), &ln) in dx.iter_mut().zip(&self.x[piece]).zip(&dy).zip(&max).zip(&ln) {
                *dx = dy * T::exp(x - max - ln);
            }
        }
        for (lane, &label) in self.labels[rows.numbers()].iter().enumerate() {
            assert!((label as usize) < rows.len, "cross_entropy_backward: label {label} is out of range");
            let at = rows.start + label as usize * rows.inner + lane;
            // SAFETY: as above.
            let dx = unsafe { self.dx.slice(at..at + 1) };
            dx[0] -= dy[lane];
        }
    }
}
