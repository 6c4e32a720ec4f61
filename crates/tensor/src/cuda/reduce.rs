//! Sums and extremes along axes: `kernels/cuda/reduce.cu`.

use chainrule_kernels::Family;

use super::Gpu;
use super::launch::{Grid, THREADS};
use super::walk::{Walk, address, order_of};
use crate::element::{Element, Float};
use crate::layout::Layout;
use crate::shape::Shape;
use crate::tensor::TensorOf;

/// Elements that a thread combines by itself.
const BY_THREAD: usize = 256;
/// Elements that a block combines.
const BY_BLOCK: usize = 64 << 10;
/// With so many results there are threads enough for each to take all elements of its own.
const MANY: usize = 32 << 10;

pub(crate) fn sum<T: Float>(gpu: &'static Gpu, x: &TensorOf<T>, axes: &[bool]) -> TensorOf<T> {
    if x.numel() == 0 {
        return T::full(gpu.device(), kept_shape(x, axes), T::ZERO);
    }
    reduce(gpu, ["sum_by_thread", "sum_by_block"], x, axes)
}

pub(crate) fn max<T: Element>(gpu: &'static Gpu, x: &TensorOf<T>, axes: &[bool]) -> TensorOf<T> {
    reduce(gpu, ["max_by_thread", "max_by_block"], x, axes)
}

pub(crate) fn min<T: Element>(gpu: &'static Gpu, x: &TensorOf<T>, axes: &[bool]) -> TensorOf<T> {
    reduce(gpu, ["min_by_thread", "min_by_block"], x, axes)
}

fn kept_shape<T: Element>(x: &TensorOf<T>, axes: &[bool]) -> Shape {
    let lengths: Vec<usize> = x.shape().iter().zip(axes).map(|(&n, &reduced)| if reduced { 1 } else { n }).collect();
    Shape::new(&lengths)
}

/// Combines along the marked axes: in stretches, whose results are combined in their turn, as long as there are several.
fn reduce<T: Element>(gpu: &'static Gpu, names: [&'static str; 2], x: &TensorOf<T>, axes: &[bool]) -> TensorOf<T> {
    let layout = x.layout();
    let shape = kept_shape(x, axes);
    let order = order_of(layout);
    let along = |marked: bool| {
        let axes = order.iter().filter(move |&&axis| axes[axis] == marked);
        Walk::of_axes(axes.map(|&axis| (layout.shape()[axis], [layout.strides()[axis]])))
    };
    let (kept, reduced) = (along(false), along(true));
    let (results, elements) = (kept.numel as usize, reduced.numel as usize);
    // A block reads neighbours where the innermost axis is one of the reduced.
    let inner = order.iter().rev().find(|&&axis| layout.shape()[axis] > 1);
    let by_block = elements >= THREADS as usize && inner.is_some_and(|&axis| axes[axis]);
    let stretch = match (by_block, results >= MANY) {
        (true, _) => BY_BLOCK.min(elements),
        (false, true) => elements,
        (false, false) => BY_THREAD.min(elements),
    };
    let chunks = elements.div_ceil(stretch);
    let own_order: Vec<usize> = order.iter().copied().filter(|&axis| shape[axis] > 1).collect();
    let whole: Vec<usize> = order.iter().copied().filter(|&axis| shape[axis] == 1).chain(own_order).collect();
    let of_one = Layout::dense(shape, &whole);
    let grid = if by_block { Grid::blocks(results * chunks) } else { Grid::elements(results * chunks) };
    let name = names[usize::from(by_block)];
    let launch = |y: &TensorOf<T>| {
        let stretch = stretch as u32;
        // SAFETY: y has a result for each kept element and chunk, and the walks stay within x.
        unsafe {
            gpu.launch(Family::Reduce, (name, T::NAME), grid, [&address(y), &address(x), &kept, &reduced, &stretch]);
        }
    };
    if chunks == 1 {
        let y = gpu.tensor(of_one);
        launch(&y);
        return y;
    }
    let partial = gpu.tensor(Layout::contiguous(Shape::from([chunks, results])));
    launch(&partial);
    let combined = reduce(gpu, names, &partial, &[true, false]);
    combined.view(of_one)
}
