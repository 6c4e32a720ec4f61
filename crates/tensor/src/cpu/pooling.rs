//! Pooling of image batches (N,C,H,W). Results keep their input's memory format.

mod squares;
#[cfg(test)]
mod tests;

pub(crate) use self::squares::Largest;
use self::squares::scatter;
use crate::cpu::images::{Images, LANES, Plane};
use crate::cpu::simd::dispatch_tiled;
use crate::element::Float;
use crate::kernel::PoolIndices;
use crate::parallel::Disjoint;
use crate::parameters::image::is_halving;
use crate::shape_rules::Window;
use crate::tensor::TensorOf;

/// How the rows and columns of a window are visited. Adjacent ones are a case of their own, whose loops are up to 1.5 times as
/// fast.
trait Visit {
    fn places(window: &Window) -> impl Iterator<Item = usize>;
}

/// Windows without dilation.
struct Adjacent;

impl Visit for Adjacent {
    #[inline]
    fn places(window: &Window) -> impl Iterator<Item = usize> {
        window.start..window.end
    }
}

struct Dilated;

impl Visit for Dilated {
    #[inline]
    fn places(window: &Window) -> impl Iterator<Item = usize> {
        window.places()
    }
}

fn dilated(windows: &[Vec<Window>; 2]) -> bool {
    windows.iter().flatten().any(|window| window.step > 1)
}

/// The number of pixels that windows visit.
fn visits(windows: &[Vec<Window>; 2]) -> usize {
    let along = |axis: &[Window]| axis.iter().map(|w| w.count()).sum::<usize>();
    along(&windows[0]) * along(&windows[1])
}

/// The lanes of a pixel, for writing. Each pixel is written by one job.
///
/// # Safety
/// There is no other reference to these lanes.
#[inline]
pub(crate) unsafe fn lanes_mut<'a, T>(
    out: &Disjoint<'a, T>,
    plane: Plane,
    row: usize,
    column: usize,
    lanes: usize,
) -> &'a mut [T] {
    let at = plane.at(row, column);
    // SAFETY: as promised by the caller.
    unsafe { out.slice(at..at + lanes) }
}

pub(crate) fn max_pool<T: Float>(x: &TensorOf<T>, windows: &[Vec<Window>; 2]) -> (TensorOf<T>, PoolIndices) {
    pool(x, windows, false)
}

pub(crate) fn relu_max_pool<T: Float>(x: &TensorOf<T>, windows: &[Vec<Window>; 2]) -> (TensorOf<T>, PoolIndices) {
    pool(x, windows, true)
}

fn pool<T: Float>(x: &TensorOf<T>, windows: &[Vec<Window>; 2], relu: bool) -> (TensorOf<T>, PoolIndices) {
    if dilated(windows) { maxima::<T, Dilated>(x, windows, relu) } else { maxima::<T, Adjacent>(x, windows, relu) }
}

fn maxima<T: Float, V: Visit>(x: &TensorOf<T>, windows: &[Vec<Window>; 2], relu: bool) -> (TensorOf<T>, PoolIndices) {
    let images = Images::new(x.layout());
    let [_, width] = images.hw();
    let layout = images.same_format([windows[0].len(), windows[1].len()]);
    let out = Images::new(&layout);
    let (mut y, mut index) = (TensorOf::uninitialized(layout), TensorOf::uninitialized(layout));
    let halves = windows.iter().all(|axis| is_halving(axis));
    let x = x.buffer();
    let (y_parts, index_parts) = (Disjoint::new(y.buffer_mut().0), Disjoint::new(index.buffer_mut().0));
    images.for_each_job(visits(windows), |n, c, lanes| {
        let (from, to) = (images.plane(n, c), out.plane(n, c));
        if lanes == 1 && halves && from.has_rows() && from.step() > 0 && to.has_rows() {
            let (rows, columns) = (windows[0].len(), windows[1].len());
            let at = to.at(0, 0);
            // SAFETY: the plane is exclusive to this job.
            let (y, index) =
                unsafe { (y_parts.slice(at..at + rows * columns), index_parts.slice(at..at + rows * columns)) };
            let (x, step) = (&x[from.at(0, 0)..], from.step() as usize);
            return dispatch_tiled(Largest { x, first: 0, step, width, y, index, columns, relu });
        }
        for (i, rows) in windows[0].iter().enumerate() {
            for (j, columns) in windows[1].iter().enumerate() {
                // SAFETY: the lanes are exclusive to this job, which holds one pixel at a time.
                let (y, index) =
                    unsafe { (lanes_mut(&y_parts, to, i, j, lanes), lanes_mut(&index_parts, to, i, j, lanes)) };
                let start = (rows.start * width + columns.start) as i32;
                if lanes == 1 {
                    let mut best = (x[from.at(rows.start, columns.start)], start);
                    for row in V::places(rows) {
                        for column in V::places(columns) {
                            best = larger(best, (x[from.at(row, column)], (row * width + column) as i32));
                        }
                    }
                    (y[0], index[0]) = rectified(best, relu);
                    continue;
                }
                y.copy_from_slice(from.lanes(x, rows.start, columns.start, lanes));
                index.fill(start);
                for row in V::places(rows) {
                    for column in V::places(columns) {
                        let here = (row * width + column) as i32;
                        let candidates = from.lanes(x, row, column, lanes);
                        for ((best, at), &v) in y.iter_mut().zip(&mut *index).zip(candidates) {
                            (*best, *at) = larger((*best, *at), (v, here));
                        }
                    }
                }
                for (best, at) in y.iter_mut().zip(index) {
                    (*best, *at) = rectified((*best, *at), relu);
                }
            }
        }
    });
    (y, PoolIndices::new(index, windows))
}

/// The maximum and its index; after relu, 0 (NaN for NaN) and −1 if the maximum is not above 0.
#[inline]
fn rectified<T: Float>((maximum, index): (T, i32), relu: bool) -> (T, i32) {
    let value = if relu && maximum <= T::ZERO { T::ZERO } else { maximum };
    let passes = !relu || maximum > T::ZERO;
    (value, if passes { index } else { -1 })
}

/// `second` if it is larger or NaN and `first` is not NaN, else `first`.
#[inline]
fn larger<T: Float>(first: (T, i32), second: (T, i32)) -> (T, i32) {
    // The negated comparison is true for a NaN too; `&` rather than `&&` leaves the compiler free to select.
    #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "not (a <= b) is not a > b for NaN")]
    let take = !(second.0 <= first.0) & !first.0.is_nan();
    // Two separate selects without a branch, which would be unpredictable.
    (if take { second.0 } else { first.0 }, if take { second.1 } else { first.1 })
}

pub(crate) fn gather2d<T: Float>(x: &TensorOf<T>, indices: &PoolIndices) -> TensorOf<T> {
    let index = indices.index();
    let (images, places) = (Images::new(x.layout()), Images::new(index.layout()));
    let [_, width] = images.hw();
    let [rows, columns] = places.hw();
    let layout = images.same_format([rows, columns]);
    let out = Images::new(&layout);
    let mut y = TensorOf::uninitialized(layout);
    let (x, index) = (x.buffer(), index.buffer());
    let parts = Disjoint::new(y.buffer_mut().0);
    images.for_each_job(rows * columns, |n, c, lanes| {
        for i in 0..rows {
            for j in 0..columns {
                // SAFETY: the lanes are exclusive to this job, which holds one pixel at a time.
                let y = unsafe { lanes_mut(&parts, out.plane(n, c), i, j, lanes) };
                for (lane, y) in y.iter_mut().enumerate() {
                    let place = index[places.plane(n, c + lane).at(i, j)] as usize;
                    let none = place == usize::MAX;
                    *y = if none { T::ZERO } else { x[images.plane(n, c + lane).at(place / width, place % width)] };
                }
            }
        }
    });
    y
}

pub(crate) fn scatter2d<T: Float>(dy: &TensorOf<T>, indices: &PoolIndices, hw: [usize; 2]) -> TensorOf<T> {
    let (index, squares) = (indices.index(), indices.squares());
    let (images, places) = (Images::new(dy.layout()), Images::new(index.layout()));
    let [rows, columns] = images.hw();
    let layout = images.same_format(hw);
    let out = Images::new(&layout);
    let mut dx = TensorOf::uninitialized(layout);
    let (dy, index) = (dy.buffer(), index.buffer());
    let parts = Disjoint::new(dx.buffer_mut().0);
    images.for_each_job(rows * columns + hw[0] * hw[1], |n, c, lanes| {
        let (from, at, to) = (images.plane(n, c), places.plane(n, c), out.plane(n, c));
        let along = |plane: Plane, columns: usize| plane.has_rows() && plane.step() == columns as isize;
        if lanes == 1 && squares && from.has_rows() && from.step() > 0 && along(at, columns) && along(to, hw[1]) {
            // SAFETY: the plane is exclusive to this job.
            let dx = unsafe { parts.slice(to.at(0, 0)..to.at(0, 0) + hw[0] * hw[1]) };
            let index = &index[at.at(0, 0)..];
            let (dy, dy_step) = (&dy[from.at(0, 0)..], from.step() as usize);
            return scatter(dy, dy_step, index, [rows, columns], dx);
        }
        clear(&parts, to, hw, lanes);
        for i in 0..rows {
            for j in 0..columns {
                let gradient = images.plane(n, c).lanes(dy, i, j, lanes);
                for (lane, &gradient) in gradient.iter().enumerate() {
                    let place = index[places.plane(n, c + lane).at(i, j)] as usize;
                    if place == usize::MAX {
                        continue;
                    }
                    // SAFETY: the lanes are exclusive to this job, which holds one element at a time.
                    let dx = unsafe { lanes_mut(&parts, out.plane(n, c + lane), place / hw[1], place % hw[1], 1) };
                    dx[0] += gradient;
                }
            }
        }
    });
    dx
}

/// Zeroes a job's lanes of a dense result.
#[inline]
pub(crate) fn clear<T: Float>(parts: &Disjoint<T>, plane: Plane, hw: [usize; 2], lanes: usize) {
    for i in 0..hw[0] {
        if lanes == 1 && plane.has_rows() {
            // SAFETY: the row is in the job's plane, which is exclusive to the job.
            unsafe { lanes_mut(parts, plane, i, 0, hw[1]) }.fill(T::ZERO);
            continue;
        }
        for j in 0..hw[1] {
            // SAFETY: the pixel is in the job's lanes, which are exclusive to the job.
            unsafe { lanes_mut(parts, plane, i, j, lanes) }.fill(T::ZERO);
        }
    }
}

pub(crate) fn avg_pool<T: Float>(x: &TensorOf<T>, windows: &[Vec<Window>; 2]) -> TensorOf<T> {
    if dilated(windows) { average::<T, Dilated>(x, windows) } else { average::<T, Adjacent>(x, windows) }
}

fn average<T: Float, V: Visit>(x: &TensorOf<T>, windows: &[Vec<Window>; 2]) -> TensorOf<T> {
    let images = Images::new(x.layout());
    let layout = images.same_format([windows[0].len(), windows[1].len()]);
    let out = Images::new(&layout);
    let mut y = TensorOf::uninitialized(layout);
    let x = x.buffer();
    let parts = Disjoint::new(y.buffer_mut().0);
    images.for_each_job(visits(windows), |n, c, lanes| {
        let from = images.plane(n, c);
        for (i, rows) in windows[0].iter().enumerate() {
            for (j, columns) in windows[1].iter().enumerate() {
                let divisor = T::from_f64((rows.divisor * columns.divisor) as f64);
                // SAFETY: the lanes are exclusive to this job, which holds one pixel at a time.
                let y = unsafe { lanes_mut(&parts, out.plane(n, c), i, j, lanes) };
                // Each row is summed first, so that over a whole plane rounding errors are those of a row and a column.
                if lanes == 1 {
                    let mut total = T::ZERO;
                    for row in V::places(rows) {
                        let mut part = T::ZERO;
                        for column in V::places(columns) {
                            part += x[from.at(row, column)];
                        }
                        total += part;
                    }
                    y[0] = total / divisor;
                    continue;
                }
                let (mut total, mut part) = ([T::ZERO; LANES], [T::ZERO; LANES]);
                let (total, part) = (&mut total[..lanes], &mut part[..lanes]);
                for row in V::places(rows) {
                    part.fill(T::ZERO);
                    for column in V::places(columns) {
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
    if dilated(windows) { spread::<T, Dilated>(dy, windows, hw) } else { spread::<T, Adjacent>(dy, windows, hw) }
}

fn spread<T: Float, V: Visit>(dy: &TensorOf<T>, windows: &[Vec<Window>; 2], hw: [usize; 2]) -> TensorOf<T> {
    let images = Images::new(dy.layout());
    let layout = images.same_format(hw);
    let out = Images::new(&layout);
    let mut dx = TensorOf::uninitialized(layout);
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
                for row in V::places(rows) {
                    for column in V::places(columns) {
                        // SAFETY: the lanes are exclusive to this job, which holds one pixel at a time.
                        add(unsafe { lanes_mut(&parts, to, row, column, lanes) }, share);
                    }
                }
            }
        }
    });
    dx
}
