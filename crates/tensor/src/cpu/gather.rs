//! Gather along an axis, and its adjoint scatter-add.

use crate::cpu::plan::Plan;
use crate::element::{Element, Float};
use crate::layout::Layout;
use crate::parallel::{Disjoint, parallel_for};
use crate::shape::Shape;
use crate::tensor::TensorOf;

/// The minimum number of elements per task.
const GRAIN: usize = 4 << 10;

/// The layout of the elements at index 0 of an axis, which keeps length 1.
fn front(layout: &Layout, axis: usize) -> Layout {
    layout.slice(axis, 0, 1, 1).expect("the axis exists and is not empty")
}

pub(crate) fn gather<T: Element>(x: &TensorOf<T>, axis: usize, index: &TensorOf<i32>) -> TensorOf<T> {
    let shape = index.shape();
    let mut out = TensorOf::uninitialized(index.layout().dense_like());
    if shape.numel() == 0 {
        return out;
    }
    let (buffer, layout) = out.buffer_mut();
    let base = front(x.layout(), axis).broadcast_to(shape).expect("x has the index's shape but for the axis");
    let plan = Plan::new(shape, [&layout, index.layout(), &base]);
    let (y, index, step) = (Disjoint::new(buffer), index.buffer(), x.layout().strides()[axis]);
    let x = x.buffer();
    let [y_step, i_step, x_step] = plan.run_strides();
    parallel_for(plan.numel(), GRAIN, |range| {
        plan.for_runs(range, |[y_at, i_at, x_at], len| {
            for k in 0..len as isize {
                let i = index[(i_at + k * i_step) as usize] as isize;
                let value = x[(x_at + k * x_step + i * step) as usize];
                // SAFETY: each element of the output, within its layout, belongs to one task.
                unsafe { *y.ptr((y_at + k * y_step) as usize) = value };
            }
        });
    });
    out
}

/// One thread walks the axis in ascending order, so that elements with the same index are always added in the same order.
pub(crate) fn scatter_add<T: Float>(x: &TensorOf<T>, axis: usize, index: &TensorOf<i32>, shape: Shape) -> TensorOf<T> {
    let mut out = TensorOf::uninitialized(Layout::contiguous(shape));
    let (buffer, layout) = out.buffer_mut();
    buffer.fill(T::ZERO);
    let len = x.shape()[axis];
    if x.numel() == 0 {
        return out;
    }
    let parts = [front(&layout, axis), front(x.layout(), axis), front(index.layout(), axis)];
    let plan = Plan::new(parts[0].shape(), [&parts[0], &parts[1], &parts[2]]);
    let y = Disjoint::new(buffer);
    let steps = [&layout, x.layout(), index.layout()].map(|layout| layout.strides()[axis]);
    let (x, index) = (x.buffer(), index.buffer());
    let run_steps = plan.run_strides();
    parallel_for(plan.numel(), GRAIN.div_ceil(len), |range| {
        plan.for_runs(range, |at, run| {
            for k in 0..len as isize {
                let [_, x_at, i_at] = std::array::from_fn(|side| at[side] + k * steps[side]);
                for j in 0..run as isize {
                    let i = index[(i_at + j * run_steps[2]) as usize] as isize;
                    let place = y.ptr((at[0] + j * run_steps[0] + i * steps[0]) as usize);
                    // SAFETY: all positions along the axis belong to the task that has this index of the other axes.
                    unsafe { *place += x[(x_at + j * run_steps[1]) as usize] };
                }
            }
        });
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::with_threads;
    use crate::tensor::Tensor;

    /// All indices of a shape of three axes.
    fn places(shape: Shape) -> impl Iterator<Item = [usize; 3]> {
        let [a, b, c] = [shape[0], shape[1], shape[2]];
        (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| [i, j, k])))
    }

    #[test]
    fn every_axis_and_layout_by_definition() {
        for (shape, axis, len) in [([4, 5, 6], 0, 9), ([4, 5, 6], 1, 3), ([4, 5, 6], 2, 6), ([1, 7, 1], 1, 1)] {
            let picks = Shape::from(shape).with(axis, len);
            let x = Tensor::from_fn(shape, |i| i as f32);
            let index = TensorOf::<i32>::from_fn(picks, |i| (i * 7919 % shape[axis]) as i32);
            let dy = Tensor::from_fn(picks, |i| i as f32 + 1.0);
            let permuted = |x: &Tensor| x.permute(&[2, 0, 1]).contiguous().permute(&[1, 2, 0]);
            let permuted_index = index.permute(&[1, 2, 0]).contiguous().permute(&[2, 0, 1]);
            for (x, dy, index) in [(&x, &dy, &index), (&permuted(&x), &permuted(&dy), &permuted_index)] {
                let y = x.gather(axis as isize, index);
                let dx = dy.scatter_add(axis as isize, index, shape);
                let mut want = vec![0.0; x.numel()];
                for place in places(picks) {
                    let mut from = place;
                    from[axis] = index.at(&place) as usize;
                    assert_eq!(y.at(&place), x.at(&from), "{place:?} along {axis}");
                    want[(from[0] * shape[1] + from[1]) * shape[2] + from[2]] += dy.at(&place);
                }
                assert_eq!(dx.to_vec(), want, "along {axis}");
            }
        }
    }

    #[test]
    fn nothing_picked() {
        let x = Tensor::ones([2, 3]);
        let none = TensorOf::<i32>::zeros([2, 0]);
        assert_eq!(x.gather(1, &none).shape(), [2, 0]);
        assert_eq!(Tensor::zeros([2, 0]).scatter_add(1, &none, [2, 3]), Tensor::zeros([2, 3]));
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let dy = Tensor::from_fn([300, 100], |i| (i as f32 * 0.7).sin());
        let index = TensorOf::<i32>::from_fn([300, 100], |i| (i * 31 % 5) as i32);
        for axis in [0, 1] {
            let shape = if axis == 0 { [5, 100] } else { [300, 5] };
            let one = with_threads(1, || dy.scatter_add(axis, &index, shape).to_vec());
            assert_eq!(with_threads(3, || dy.scatter_add(axis, &index, shape).to_vec()), one);
        }
    }
}
