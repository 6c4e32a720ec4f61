//! Pooling of image batches (N,C,H,W). Results keep their input's memory format.

use crate::cpu::images::{Images, LANES, Plane};
use crate::element::Float;
use crate::parallel::Disjoint;
use crate::shape_rules::Window;
use crate::tensor::TensorOf;

/// Windows of 2×2 handled side by side.
const SQUARES: usize = 16;

/// The number of pixels that windows visit.
fn visits(windows: &[Vec<Window>; 2]) -> usize {
    let along = |axis: &[Window]| axis.iter().map(|w| w.end - w.start).sum::<usize>();
    along(&windows[0]) * along(&windows[1])
}

/// The lanes of a pixel of a batch that only one job writes.
///
/// # Safety
/// No other reference to these lanes is in use.
#[inline]
pub(crate) unsafe fn lanes_mut<'a, T>(
    out: &Disjoint<'a, T>,
    plane: Plane,
    row: usize,
    column: usize,
    lanes: usize,
) -> &'a mut [T] {
    let at = plane.at(row, column);
    // SAFETY: promised by the caller.
    unsafe { out.slice(at..at + lanes) }
}

pub(crate) fn max_pool<T: Float>(x: &TensorOf<T>, windows: &[Vec<Window>; 2]) -> (TensorOf<T>, TensorOf<i32>) {
    let images = Images::new(x.layout());
    let [_, width] = images.hw();
    let layout = images.same_format([windows[0].len(), windows[1].len()]);
    let out = Images::new(&layout);
    let (mut y, mut index) = (TensorOf::uninitialised(layout), TensorOf::uninitialised(layout));
    let halves = is_halving(&windows[0]) && is_halving(&windows[1]);
    let x = x.buffer();
    let (y_parts, index_parts) = (Disjoint::new(y.buffer_mut().0), Disjoint::new(index.buffer_mut().0));
    images.for_each_job(visits(windows), |n, c, lanes| {
        let (from, to) = (images.plane(n, c), out.plane(n, c));
        if lanes == 1 && halves && from.has_rows() && to.has_rows() {
            let columns = windows[1].len();
            for i in 0..windows[0].len() {
                let row = |r: usize| &x[from.at(2 * i + r, 0)..][..2 * columns];
                let at = to.at(i, 0);
                // SAFETY: rows of this job's plane, one at a time.
                let (y, index) = unsafe { (y_parts.slice(at..at + columns), index_parts.slice(at..at + columns)) };
                max_of_squares(row(0), row(1), y, index, 2 * i * width, width);
            }
            return;
        }
        for (i, rows) in windows[0].iter().enumerate() {
            for (j, columns) in windows[1].iter().enumerate() {
                // SAFETY: pixels of this job's lanes, one at a time.
                let (y, index) =
                    unsafe { (lanes_mut(&y_parts, to, i, j, lanes), lanes_mut(&index_parts, to, i, j, lanes)) };
                let start = (rows.start * width + columns.start) as i32;
                if lanes == 1 {
                    let mut best = (x[from.at(rows.start, columns.start)], start);
                    for row in rows.start..rows.end {
                        for column in columns.start..columns.end {
                            best = larger(best, (x[from.at(row, column)], (row * width + column) as i32));
                        }
                    }
                    (y[0], index[0]) = best;
                    continue;
                }
                y.copy_from_slice(from.lanes(x, rows.start, columns.start, lanes));
                index.fill(start);
                for row in rows.start..rows.end {
                    for column in columns.start..columns.end {
                        let here = (row * width + column) as i32;
                        let candidates = from.lanes(x, row, column, lanes);
                        for ((best, at), &v) in y.iter_mut().zip(&mut *index).zip(candidates) {
                            (*best, *at) = larger((*best, *at), (v, here));
                        }
                    }
                }
            }
        }
    });
    (y, index)
}

/// The first unless the second is larger or the first NaN.
#[inline]
fn larger<T: Float>(first: (T, i32), second: (T, i32)) -> (T, i32) {
    // The negated comparison is true for a NaN too; `&` rather than `&&` leaves the compiler free to select.
    #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "not (a <= b) is not a > b for NaN")]
    let take = !(second.0 <= first.0) & !first.0.is_nan();
    // Apart, so that each becomes a select: which of two pixels is larger no branch predictor knows.
    (if take { second.0 } else { first.0 }, if take { second.1 } else { first.1 })
}

/// Whether the windows are pairs of neighbours side by side.
fn is_halving(windows: &[Window]) -> bool {
    windows.iter().enumerate().all(|(k, w)| w.start == 2 * k && w.end == 2 * k + 2)
}

/// One row of results of 2×2 windows side by side, from the two rows of x above each other.
fn max_of_squares<T: Float>(above: &[T], below: &[T], y: &mut [T], index: &mut [i32], start: usize, width: usize) {
    // Pairs are pulled apart first; then all that is left is one corner of all windows after the other, side by side.
    let stretches = y.chunks_mut(SQUARES).zip(index.chunks_mut(SQUARES));
    let pairs = above.chunks(2 * SQUARES).zip(below.chunks(2 * SQUARES));
    for (k, ((y, index), (above, below))) in stretches.zip(pairs).enumerate() {
        let mut corners = [[T::LOWEST; SQUARES]; 4];
        let [a, b, c, d] = &mut corners;
        for (l, (above, below)) in above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0).enumerate() {
            [a[l], b[l], c[l], d[l]] = [above[0], above[1], below[0], below[1]];
        }
        let (mut best, mut away) = (corners[0], [0; SQUARES]);
        for (corner, place) in corners[1..].iter().zip([1, width as i32, width as i32 + 1]) {
            for ((best, away), &v) in best.iter_mut().zip(&mut away).zip(corner) {
                (*best, *away) = larger((*best, *away), (v, place));
            }
        }
        let start = (start + 2 * SQUARES * k) as i32;
        y.copy_from_slice(&best[..y.len()]);
        for (l, (index, away)) in index.iter_mut().zip(away).enumerate() {
            *index = start + 2 * l as i32 + away;
        }
    }
}

pub(crate) fn gather2d<T: Float>(x: &TensorOf<T>, index: &TensorOf<i32>) -> TensorOf<T> {
    let (images, places) = (Images::new(x.layout()), Images::new(index.layout()));
    let [_, width] = images.hw();
    let [rows, columns] = places.hw();
    let layout = images.same_format([rows, columns]);
    let out = Images::new(&layout);
    let mut y = TensorOf::uninitialised(layout);
    let (x, index) = (x.buffer(), index.buffer());
    let parts = Disjoint::new(y.buffer_mut().0);
    images.for_each_job(rows * columns, |n, c, lanes| {
        for i in 0..rows {
            for j in 0..columns {
                // SAFETY: pixels of this job's lanes, one at a time.
                let y = unsafe { lanes_mut(&parts, out.plane(n, c), i, j, lanes) };
                for (lane, y) in y.iter_mut().enumerate() {
                    let place = index[places.plane(n, c + lane).at(i, j)] as usize;
                    *y = x[images.plane(n, c + lane).at(place / width, place % width)];
                }
            }
        }
    });
    y
}

pub(crate) fn scatter2d<T: Float>(dy: &TensorOf<T>, index: &TensorOf<i32>, hw: [usize; 2]) -> TensorOf<T> {
    let (images, places) = (Images::new(dy.layout()), Images::new(index.layout()));
    let [rows, columns] = images.hw();
    let layout = images.same_format(hw);
    let out = Images::new(&layout);
    let mut dx = TensorOf::uninitialised(layout);
    let (dy, index) = (dy.buffer(), index.buffer());
    let parts = Disjoint::new(dx.buffer_mut().0);
    images.for_each_job(rows * columns + hw[0] * hw[1], |n, c, lanes| {
        clear(&parts, out.plane(n, c), hw, lanes);
        for i in 0..rows {
            for j in 0..columns {
                let gradient = images.plane(n, c).lanes(dy, i, j, lanes);
                for (lane, &gradient) in gradient.iter().enumerate() {
                    let place = index[places.plane(n, c + lane).at(i, j)] as usize;
                    // SAFETY: one element of this job's lanes at a time.
                    let dx = unsafe { lanes_mut(&parts, out.plane(n, c + lane), place / hw[1], place % hw[1], 1) };
                    dx[0] += gradient;
                }
            }
        }
    });
    dx
}

/// Zeros in a job's lanes of a dense result.
#[inline]
pub(crate) fn clear<T: Float>(parts: &Disjoint<T>, plane: Plane, hw: [usize; 2], lanes: usize) {
    for i in 0..hw[0] {
        if lanes == 1 && plane.has_rows() {
            // SAFETY: a row of the job's plane, which nobody else holds.
            unsafe { lanes_mut(parts, plane, i, 0, hw[1]) }.fill(T::ZERO);
            continue;
        }
        for j in 0..hw[1] {
            // SAFETY: a pixel of the job's lanes, which nobody else holds.
            unsafe { lanes_mut(parts, plane, i, j, lanes) }.fill(T::ZERO);
        }
    }
}

pub(crate) fn avg_pool<T: Float>(x: &TensorOf<T>, windows: &[Vec<Window>; 2]) -> TensorOf<T> {
    let images = Images::new(x.layout());
    let layout = images.same_format([windows[0].len(), windows[1].len()]);
    let out = Images::new(&layout);
    let mut y = TensorOf::uninitialised(layout);
    let x = x.buffer();
    let parts = Disjoint::new(y.buffer_mut().0);
    images.for_each_job(visits(windows), |n, c, lanes| {
        let from = images.plane(n, c);
        for (i, rows) in windows[0].iter().enumerate() {
            for (j, columns) in windows[1].iter().enumerate() {
                let divisor = T::from_f64((rows.divisor * columns.divisor) as f64);
                // SAFETY: pixels of this job's lanes, one at a time.
                let y = unsafe { lanes_mut(&parts, out.plane(n, c), i, j, lanes) };
                // Rows are added up first: over a whole plane the rounding errors stay those of a row and a column.
                if lanes == 1 {
                    let mut total = T::ZERO;
                    for row in rows.start..rows.end {
                        let mut part = T::ZERO;
                        for column in columns.start..columns.end {
                            part += x[from.at(row, column)];
                        }
                        total += part;
                    }
                    y[0] = total / divisor;
                    continue;
                }
                let (mut total, mut part) = ([T::ZERO; LANES], [T::ZERO; LANES]);
                let (total, part) = (&mut total[..lanes], &mut part[..lanes]);
                for row in rows.start..rows.end {
                    part.fill(T::ZERO);
                    for column in columns.start..columns.end {
                        add(part, from.lanes(x, row, column, lanes));
                    }
                    add(total, part);
                }
                for (y, &total) in y.iter_mut().zip(&*total) {
                    *y = total / divisor;
                }
            }
        }
    });
    y
}

#[inline]
fn add<T: Float>(sum: &mut [T], x: &[T]) {
    for (sum, &x) in sum.iter_mut().zip(x) {
        *sum += x;
    }
}

pub(crate) fn avg_pool_adjoint<T: Float>(dy: &TensorOf<T>, windows: &[Vec<Window>; 2], hw: [usize; 2]) -> TensorOf<T> {
    let images = Images::new(dy.layout());
    let layout = images.same_format(hw);
    let out = Images::new(&layout);
    let mut dx = TensorOf::uninitialised(layout);
    let dy = dy.buffer();
    let parts = Disjoint::new(dx.buffer_mut().0);
    images.for_each_job(visits(windows) + hw[0] * hw[1], |n, c, lanes| {
        let to = out.plane(n, c);
        clear(&parts, to, hw, lanes);
        for (i, rows) in windows[0].iter().enumerate() {
            for (j, columns) in windows[1].iter().enumerate() {
                let divisor = T::from_f64((rows.divisor * columns.divisor) as f64);
                let mut share = [T::ZERO; LANES];
                let share = &mut share[..lanes];
                for (share, &gradient) in share.iter_mut().zip(images.plane(n, c).lanes(dy, i, j, lanes)) {
                    *share = gradient / divisor;
                }
                for row in rows.start..rows.end {
                    for column in columns.start..columns.end {
                        // SAFETY: pixels of this job's lanes, one at a time.
                        add(unsafe { lanes_mut(&parts, to, row, column, lanes) }, share);
                    }
                }
            }
        }
    });
    dx
}

#[cfg(test)]
mod tests;
