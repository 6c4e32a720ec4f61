//! Copying between layouts.

use std::ops::Range;

use crate::cpu::plan::Plan;
use crate::device::Device;
use crate::element::Element;
use crate::parallel::{Disjoint, parallel_for};
use crate::shape::{MAX_RANK, Shape};
use crate::tensor::TensorOf;

/// The minimum number of elements per task.
const GRAIN: usize = 16 << 10;
/// The tile size of a transpose: the rows of a tile stay in L1 on both sides.
const TILE: usize = 32;

pub(crate) fn full<T: Element>(_: Device, shape: Shape, value: T) -> TensorOf<T> {
    TensorOf::filled_by(shape, |y| y.fill(value))
}

pub(crate) fn copy<T: Element>(y: &mut TensorOf<T>, x: &TensorOf<T>) {
    let shape = y.shape();
    let from = x.layout().broadcast_to(shape).expect("the caller checked that x broadcasts to y");
    let (buffer, to) = y.buffer_mut();
    let (out, x) = (Disjoint::new(buffer), x.buffer());
    if shape.numel() == 0 {
        return;
    }

    let (order, rank) = to.memory_order();
    let order = &order[..rank];
    let (ys, xs) = (to.strides(), from.strides());
    // If the innermost axes differ, walking along either one would miss the cache at every step: copy by tiles.
    let along = order.iter().copied().rfind(|&a| shape[a] > 1);
    let across = order.iter().copied().rfind(|&a| shape[a] > 1 && xs[a].abs() == 1);
    if let (Some(along), Some(across)) = (along, across)
        && xs[along].abs() > 1
    {
        let mut rest = [0; MAX_RANK];
        let others = order.iter().copied().filter(|&a| a != along && a != across);
        let count = rest.iter_mut().zip(others).map(|(slot, axis)| *slot = axis).count();
        let plan = Plan::in_order(shape, &rest[..count], [&to, &from]);
        let tiles = shape[across].div_ceil(TILE);
        let steps = [[ys[across], ys[along]], [xs[across], xs[along]]];
        parallel_for(plan.numel() * tiles, (GRAIN / (TILE * shape[along])).max(1), |range| {
            for item in range {
                let at = plan.position(item / tiles);
                let from = item % tiles * TILE;
                let rows = from..(from + TILE).min(shape[across]);
                transpose(&out, x, at, rows, shape[along], steps);
            }
        });
        return;
    }

    let plan = Plan::new(shape, [&to, &from]);
    let [y_step, x_step] = plan.run_strides();
    parallel_for(plan.numel(), GRAIN, |range| {
        plan.for_runs(range, |[y_at, x_at], len| {
            if y_step == 1 && x_step == 1 {
                // SAFETY: runs do not overlap in y, since no two elements of y share a position.
                let row = unsafe { out.slice(y_at as usize..y_at as usize + len) };
                row.copy_from_slice(&x[x_at as usize..x_at as usize + len]);
                return;
            }
            for i in 0..len as isize {
                let value = x[(x_at + i * x_step) as usize];
                // SAFETY: as above; the plan is in bounds of the layout.
                unsafe { *out.ptr((y_at + i * y_step) as usize) = value };
            }
        });
    });
}

/// `y[i, j] = x[i, j]` for i in `rows` and j in `0..len`, by tiles; `at` and `steps` are the positions of y and x, and their
/// strides along i and j.
fn transpose<T: Element>(
    y: &Disjoint<T>,
    x: &[T],
    at: [isize; 2],
    rows: Range<usize>,
    len: usize,
    steps: [[isize; 2]; 2],
) {
    let place = |side: usize, i: usize, j: usize| at[side] + i as isize * steps[side][0] + j as isize * steps[side][1];
    for start in (0..len).step_by(TILE) {
        for i in rows.clone() {
            for j in start..(start + TILE).min(len) {
                let value = x[place(1, i, j) as usize];
                // SAFETY: every (i, j) is a different element of y, in bounds of its layout.
                unsafe { *y.ptr(place(0, i, j) as usize) = value };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::parallel::with_threads;

    /// All indices of a shape, in row-major order.
    fn indices(shape: Shape) -> impl Iterator<Item = Vec<usize>> {
        (0..shape.numel()).map(move |mut i| {
            let mut index = vec![0; shape.rank()];
            for axis in (0..shape.rank()).rev() {
                index[axis] = i % shape[axis];
                i /= shape[axis];
            }
            index
        })
    }

    fn copied(x: &TensorOf<f32>, to: Layout) -> TensorOf<f32> {
        let mut y = TensorOf::uninitialized(to);
        copy(&mut y, x);
        for index in indices(x.shape()) {
            assert_eq!(y.at(&index), x.at(&index), "{index:?} of {:?} from {:?}", y.layout(), x.layout());
        }
        y
    }

    #[test]
    fn every_layout_to_every_dense_layout() {
        for shape in [[2, 3, 4, 5], [3, 70, 5, 33], [1, 1, 1, 1], [2, 1, 40, 1], [2, 0, 3, 1]] {
            let x = TensorOf::<f32>::arange(shape.iter().product()).reshape(shape);
            for order in [[0, 1, 2, 3], [0, 2, 3, 1], [3, 2, 1, 0], [1, 0, 3, 2]] {
                let mut inverse = [0; 4];
                for (i, &a) in order.iter().enumerate() {
                    inverse[a] = i;
                }
                let permuted: Vec<usize> = order.iter().map(|&a| shape[a]).collect();
                let view = x.reshape(permuted).permute(&inverse);
                for to in [[0, 1, 2, 3], [0, 2, 3, 1], [3, 1, 0, 2]] {
                    copied(&view, Layout::dense(view.shape(), &to));
                }
            }
        }
    }

    #[test]
    fn broadcast_sliced_and_reversed() {
        let x = TensorOf::<f32>::arange(60).reshape([3, 4, 5]);
        for view in [
            x.slice(2, 4, 5, -1),
            x.slice(1, 3, 2, -2).transpose(0, 2),
            x.narrow(0, 1..2).broadcast_to([6, 4, 5]),
            x.narrow(2, 2..3).broadcast_to([2, 3, 4, 9]),
        ] {
            copied(&view, Layout::contiguous(view.shape()));
            copied(&view, view.layout().dense_like());
        }
    }

    #[test]
    fn a_part_is_written_and_the_rest_left() {
        let mut y = TensorOf::<u8>::full([4, 6], 9);
        y.assign(1, 1..3, &TensorOf::from([[1], [2], [3], [4]]));
        let rows: Vec<u8> = (1..=4).flat_map(|i| [9, i, i, 9, 9, 9]).collect();
        assert_eq!(y.to_vec(), rows);
    }

    #[test]
    fn any_number_of_threads_copies_the_same() {
        let x = TensorOf::<f32>::arange(64 * 48 * 33).reshape([64, 48, 33]).transpose(0, 2);
        let one = with_threads(1, || x.to_vec());
        assert_eq!(with_threads(3, || x.to_vec()), one);
    }
}
