//! The logarithm of softmax, along any axis.
//!
//! In memory a tensor without gaps is `outer × length of the axis × inner`. Where the axis is the innermost, sums run
//! along memory in fixed lanes; elsewhere whole pieces of `inner` are handled side by side, one sum for each.

use std::ops::Range;

use crate::cpu::strided::in_order;
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::{Disjoint, parallel_for};
use crate::tensor::TensorOf;

/// Sums that run side by side along a row.
const LANES: usize = 16;
/// Neighbouring rows that are handled together where the axis is not the innermost.
const WIDTH: usize = 64;
/// The least number of elements worth a task of its own.
const GRAIN: usize = 4 * 1024;

/// `y = x − max − ln Σ exp(x − max)`. A row that holds NaN or +∞, or nothing but −∞, is NaN; a −∞ among others stays.
pub(crate) fn log_softmax<T: Float>(x: &TensorOf<T>, axis: usize) -> TensorOf<T> {
    let (order, rank) = x.layout().memory_order();
    let order = &order[..rank];
    let mut y = TensorOf::uninitialised(Layout::dense(x.shape(), order));
    let rows = Rows::new(y.layout(), order, axis);
    let x = in_order(x, order);
    let out = Disjoint::new(y.buffer_mut().0);
    rows.for_each(
        |row| {
            // SAFETY: each row is given to one task.
            log_softmax_row(&x[row.clone()], unsafe { out.slice(row) });
        },
        |steps| {
            let (mut max, mut sum) = ([T::LOWEST; WIDTH], [T::ZERO; WIDTH]);
            for piece in steps.pieces() {
                for (max, &x) in max.iter_mut().zip(&x[piece]) {
                    *max = if x > *max { x } else { *max };
                }
            }
            for piece in steps.pieces() {
                for ((sum, &max), &x) in sum.iter_mut().zip(&max).zip(&x[piece]) {
                    *sum += T::exp(x - max);
                }
            }
            for sum in &mut sum {
                *sum = T::ln(*sum);
            }
            for piece in steps.pieces() {
                // SAFETY: each piece is given to one task.
                let y = unsafe { out.slice(piece.clone()) };
                for (((y, &x), &max), &ln) in y.iter_mut().zip(&x[piece]).zip(&max).zip(&sum) {
                    *y = x - max - ln;
                }
            }
        },
    );
    y
}

fn log_softmax_row<T: Float>(x: &[T], y: &mut [T]) {
    let mut lanes = [T::LOWEST; LANES];
    for x in x.chunks(LANES) {
        for (max, &x) in lanes.iter_mut().zip(x) {
            *max = if x > *max { x } else { *max };
        }
    }
    let max = lanes.into_iter().fold(T::LOWEST, |a, b| if b > a { b } else { a });
    let ln = T::ln(sum_of(x, |x| T::exp(x - max)));
    for (y, &x) in y.iter_mut().zip(x) {
        *y = x - max - ln;
    }
}

/// `dx = dy − exp(y) · Σ dy`.
pub(crate) fn log_softmax_backward<T: Float>(dy: &TensorOf<T>, y: &TensorOf<T>, axis: usize) -> TensorOf<T> {
    let (order, rank) = y.layout().memory_order();
    let order = &order[..rank];
    let mut dx = TensorOf::uninitialised(Layout::dense(y.shape(), order));
    let rows = Rows::new(dx.layout(), order, axis);
    let (dy, y) = (in_order(dy, order), in_order(y, order));
    let out = Disjoint::new(dx.buffer_mut().0);
    rows.for_each(
        |row| {
            let (dy, y) = (&dy[row.clone()], &y[row.clone()]);
            let sum = sum_of(dy, |dy| dy);
            // SAFETY: each row is given to one task.
            for ((dx, &dy), &y) in unsafe { out.slice(row) }.iter_mut().zip(dy).zip(y) {
                *dx = dy - T::exp(y) * sum;
            }
        },
        |steps| {
            let mut sum = [T::ZERO; WIDTH];
            for piece in steps.pieces() {
                for (sum, &dy) in sum.iter_mut().zip(&dy[piece]) {
                    *sum += dy;
                }
            }
            for piece in steps.pieces() {
                let (dy, y) = (&dy[piece.clone()], &y[piece.clone()]);
                // SAFETY: each piece is given to one task.
                for (((dx, &dy), &y), &sum) in unsafe { out.slice(piece) }.iter_mut().zip(dy).zip(y).zip(&sum) {
                    *dx = dy - T::exp(y) * sum;
                }
            }
        },
    );
    dx
}

/// `Σ f(x)` in lanes, which are then added pairwise.
#[inline]
fn sum_of<T: Float>(x: &[T], f: impl Fn(T) -> T) -> T {
    let mut lanes = [T::ZERO; LANES];
    for x in x.chunks(LANES) {
        for (sum, &x) in lanes.iter_mut().zip(x) {
            *sum += f(x);
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// How the rows along an axis lie in memory without gaps.
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

    /// Calls `one` with the place of each row, if rows lie along memory, else `many` with neighbouring rows.
    fn for_each(&self, one: impl Fn(Range<usize>) + Sync, many: impl Fn(Neighbours) + Sync) {
        let Self { outer, len, inner } = *self;
        if inner == 1 {
            return parallel_for(outer, (GRAIN / len.max(1)).max(1), |rows| {
                for row in rows {
                    one(row * len..(row + 1) * len);
                }
            });
        }
        let across = inner.div_ceil(WIDTH);
        parallel_for(outer * across, (GRAIN / (len * WIDTH).max(1)).max(1), |jobs| {
            for job in jobs {
                let first = job % across * WIDTH;
                let start = job / across * len * inner + first;
                many(Neighbours { start, width: (inner - first).min(WIDTH), len, inner });
            }
        });
    }
}

/// Up to [`WIDTH`] rows side by side.
struct Neighbours {
    start: usize,
    width: usize,
    len: usize,
    inner: usize,
}

impl Neighbours {
    /// The places of the rows' elements, step by step along the axis.
    #[inline]
    fn pieces(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        (0..self.len).map(|k| self.start + k * self.inner).map(|start| start..start + self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::images::testing::{elements, layouts};
    use crate::parallel::with_threads;

    /// Calls `body` with the places in row-major order of every row along an axis.
    fn each_row(shape: [usize; 4], axis: usize, mut body: impl FnMut(&[usize])) {
        let inner: usize = shape[axis + 1..].iter().product();
        for i in 0..shape.iter().product() {
            if (i / inner).is_multiple_of(shape[axis]) {
                body(&(0..shape[axis]).map(|k| i + k * inner).collect::<Vec<_>>());
            }
        }
    }

    fn close<T: Float>(a: &[T], b: &[f64], tolerance: f64) {
        for (a, b) in a.iter().zip(b) {
            assert!((a.to_f64() - b).abs() <= tolerance * b.abs().max(1.0), "{a:?} {b:?}");
        }
        assert_eq!(a.len(), b.len());
    }

    const SHAPES: [[usize; 4]; 5] = [[2, 3, 4, 5], [1, 10, 9, 11], [3, 1, 1, 37], [2, 3, 0, 4], [2, 19, 1, 1]];

    fn check<T: Float>(tolerance: f64) {
        for shape in SHAPES {
            for (x, dy) in layouts::<T>(shape, 1).into_iter().zip(layouts::<T>(shape, 2).into_iter().rev()) {
                for axis in 0..4 {
                    let (logits, gradients) = (elements(&x), elements(&dy));
                    let (mut y, mut dx) = (vec![0.0; logits.len()], vec![0.0; logits.len()]);
                    each_row(shape, axis, |row| {
                        let total: f64 = row.iter().map(|&i| logits[i].to_f64().exp()).sum();
                        let gradient: f64 = row.iter().map(|&i| gradients[i].to_f64()).sum();
                        for &i in row {
                            y[i] = logits[i].to_f64() - total.ln();
                            dx[i] = gradients[i].to_f64() - y[i].exp() * gradient;
                        }
                    });
                    let result = log_softmax(&x, axis);
                    close(&elements(&result), &y, tolerance);
                    close(&elements(&log_softmax_backward(&dy, &result, axis)), &dx, 8.0 * tolerance);
                    assert!(result.layout().is_dense());
                }
            }
        }
    }

    #[test]
    fn agrees_with_the_formula_on_every_layout() {
        check::<f32>(1e-6);
        check::<f64>(1e-15);
    }

    #[test]
    fn large_and_infinite_logits_are_told_apart() {
        let inf = f32::INFINITY;
        for (row, expected) in [
            (
                [1000.0, -1000.0, 1000.0],
                [-std::f32::consts::LN_2, -2000.0 - std::f32::consts::LN_2, -std::f32::consts::LN_2],
            ),
            ([-1000.0, -2000.0, -1001.0], [-0.313_261_7, -1_000.313_26, -1.313_261_7]),
            ([0.0, -inf, -inf], [0.0, -inf, -inf]),
        ] {
            // Along memory and across it.
            let x = TensorOf::from_slice(&row.map(|v| [v, 0.0]).concat(), [3, 2]);
            for y in [elements(&log_softmax(&x.narrow(1, 0..1), 0)), elements(&log_softmax(&x, 0).narrow(1, 0..1))] {
                assert!(y.iter().zip(expected).all(|(&a, b)| a == b || (a - b).abs() < 1e-6 * b.abs()), "{y:?}");
            }
        }
        for row in [[f32::NAN, 0.0, 1.0], [0.0, inf, 1.0], [-inf, -inf, -inf], [-inf, f32::NAN, inf]] {
            let x = TensorOf::from_slice(&row.map(|v| [v, 0.0]).concat(), [3, 2]);
            assert!(elements(&log_softmax(&x.narrow(1, 0..1), 0)).iter().all(|v| v.is_nan()), "{row:?}");
            assert!(elements(&log_softmax(&x, 0)).chunks(2).all(|v| v[0].is_nan() && !v[1].is_nan()), "{row:?}");
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let x: TensorOf<f32> =
            crate::cpu::random::normal(crate::Key::new(1, crate::Purpose::CHECK), [70, 33, 90].into());
        for axis in 0..3 {
            let all = || {
                let y = log_softmax(&x, axis);
                (elements(&log_softmax_backward(&x, &y, axis)), elements(&y))
            };
            assert!(with_threads(1, all) == with_threads(3, all), "axis {axis}");
        }
    }
}
