//! The largest elements along an axis, and their indices.

use std::cmp::Ordering;

use crate::cpu::plan::Plan;
use crate::element::Element;
use crate::layout::Layout;
use crate::parallel::{Disjoint, parallel_for};
use crate::tensor::TensorOf;

/// The minimum number of elements per task.
const GRAIN: usize = 4 << 10;

/// The layout of the elements at index 0 of an axis, which keeps length 1.
fn front(layout: &Layout, axis: usize) -> Layout {
    layout.slice(axis, 0, 1, 1).expect("the axis exists and is not empty")
}

pub(crate) fn argmax<T: Element>(x: &TensorOf<T>, axis: usize) -> TensorOf<i32> {
    let from = front(x.layout(), axis);
    let mut out = TensorOf::uninitialized(from.dense_like());
    let (buffer, to) = out.buffer_mut();
    let plan = Plan::new(from.shape(), [&to, &from]);
    let (y, len, step) = (Disjoint::new(buffer), x.shape()[axis], x.layout().strides()[axis]);
    let x = x.buffer();
    parallel_for(plan.numel(), GRAIN.div_ceil(len), |range| {
        for item in range {
            let [y_at, x_at] = plan.position(item);
            let mut best = (0, x[x_at as usize]);
            for i in 1..len {
                let value = x[(x_at + i as isize * step) as usize];
                if value > best.1 || value.is_nan() && !best.1.is_nan() {
                    best = (i, value);
                }
            }
            // SAFETY: each element of the output belongs to one task.
            unsafe { *y.ptr(y_at as usize) = best.0 as i32 };
        }
    });
    out
}

/// Descending, NaN before all numbers, equal elements by index.
fn descending<T: Element>(a: &(T, i32), b: &(T, i32)) -> Ordering {
    let by_value = b.0.partial_cmp(&a.0).unwrap_or_else(|| b.0.is_nan().cmp(&a.0.is_nan()));
    by_value.then(a.1.cmp(&b.1))
}

pub(crate) fn topk<T: Element>(x: &TensorOf<T>, k: usize, axis: usize) -> (TensorOf<T>, TensorOf<i32>) {
    let layout = Layout::contiguous(x.shape().with(axis, k));
    let (mut values, mut indices) = (TensorOf::uninitialized(layout), TensorOf::uninitialized(layout));
    if layout.shape().numel() == 0 {
        return (values, indices);
    }
    let (from, to) = (front(x.layout(), axis), front(&layout, axis));
    let plan = Plan::new(from.shape(), [&to, &from]);
    let (len, step, y_step) = (x.shape()[axis], x.layout().strides()[axis], layout.strides()[axis]);
    let (values_out, indices_out) = (Disjoint::new(values.buffer_mut().0), Disjoint::new(indices.buffer_mut().0));
    let x = x.buffer();
    parallel_for(plan.numel(), GRAIN.div_ceil(len), |range| {
        let mut row = Vec::with_capacity(len);
        for item in range {
            let [y_at, x_at] = plan.position(item);
            row.clear();
            row.extend((0..len).map(|i| (x[(x_at + i as isize * step) as usize], i as i32)));
            if k < len {
                row.select_nth_unstable_by(k, descending);
            }
            row[..k].sort_unstable_by(descending);
            for (i, &(value, index)) in row[..k].iter().enumerate() {
                let place = (y_at + i as isize * y_step) as usize;
                // SAFETY: each index of the other axes belongs to one task.
                unsafe { (*values_out.ptr(place), *indices_out.ptr(place)) = (value, index) };
            }
        }
    });
    (values, indices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::with_threads;
    use crate::tensor::Tensor;

    #[test]
    fn the_first_largest_wins_and_nan_before_all() {
        let x = Tensor::from([[1.0, 3.0, 3.0], [f32::NAN, 9.0, f32::NAN], [2.0, f32::NAN, f32::INFINITY]]);
        assert_eq!(x.argmax(1).to_vec(), [1, 0, 1]);
        assert_eq!(x.argmax(0).to_vec(), [1, 2, 1]);
        let low = f32::NEG_INFINITY;
        assert_eq!(Tensor::from([low, low]).argmax(0).item(), 0);
        assert_eq!(TensorOf::<u8>::from([3, 7, 7]).argmax(-1).item(), 1);
        let (values, indices) = x.topk(2, 1);
        assert_eq!(indices, TensorOf::from([[1, 2], [0, 2], [1, 2]]));
        assert_eq!(values.narrow(0, 0..1), Tensor::from([[3.0, 3.0]]));
        assert!(values.at(&[1, 1]).is_nan() && values.at(&[2, 1]) == f32::INFINITY);
    }

    /// The indices of a row in descending order, by a stable sort.
    fn sorted(row: &[f32]) -> Vec<i32> {
        let mut order: Vec<i32> = (0..row.len() as i32).collect();
        order.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
        order
    }

    #[test]
    fn every_axis_and_layout_against_a_stable_sort() {
        let x = Tensor::from_fn([5, 6, 70], |i| (i * 7919 % 23) as f32);
        for x in [x.clone(), x.permute(&[2, 0, 1]), x.slice(2, 69, 35, -2)] {
            for axis in 0..3 {
                let last = x.transpose(axis, 2).contiguous();
                let len = last.shape()[2];
                let data = last.to_vec();
                let rows: Vec<&[f32]> = data.chunks_exact(len).collect();
                let want: Vec<i32> = rows.iter().map(|row| sorted(row)[0]).collect();
                let kept = x.argmax(axis).unsqueeze(axis);
                assert_eq!(kept.transpose(axis, 2).to_vec(), want);
                for k in [0, 1, 3, len] {
                    let (values, indices) = x.topk(k, axis);
                    let want: Vec<i32> = rows.iter().flat_map(|row| sorted(row)[..k].to_vec()).collect();
                    assert_eq!(indices.transpose(axis, 2).to_vec(), want, "{k} along {axis}");
                    assert_eq!(values, x.gather(axis, &indices));
                }
            }
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same() {
        let x = Tensor::from_fn([1000, 50], |i| (i * 7919 % 101) as f32);
        let one = with_threads(1, || (x.argmax(1), x.topk(5, 1)));
        assert!(with_threads(3, || (x.argmax(1), x.topk(5, 1))) == one);
    }
}
