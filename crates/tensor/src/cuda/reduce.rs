//! Sums and extremes along axes: `kernels/cuda/reduce.cu`.

use chainrule_kernels::Family;

use super::bf16::Stored;
use super::strided_index::{Walk, order_of};
use crate::element::{Element, Float};
use crate::gpu::Gpu;
use crate::gpu::launch::{Grid, THREADS};
use crate::layout::Layout;
use crate::shape::Shape;
use crate::tensor::{TensorOf, address};

/// The maximum number of adjacent results per block if the innermost axis is kept: 128 bytes of `f32`.
const SIDE_BY_SIDE: usize = 32;
/// The minimum number of elements per thread, and the maximum for which one kernel is faster than two.
const MIN_ELEMENTS: usize = 8;
const MAX_ELEMENTS: usize = 64;
/// The number of blocks that occupies a large GPU.
const BUSY: usize = 512;

pub(crate) fn sum<T: Float>(gpu: &'static Gpu, x: &TensorOf<T>, axes: &[bool]) -> TensorOf<T> {
    if x.numel() == 0 {
        return T::full(gpu.device(), kept_shape(x, axes), T::ZERO);
    }
    reduce(gpu, "sum", Stored::like(x), x, axes)
}

pub(crate) fn max<T: Element>(gpu: &'static Gpu, x: &TensorOf<T>, axes: &[bool]) -> TensorOf<T> {
    reduce(gpu, "max", Stored(T::NAME), x, axes)
}

pub(crate) fn min<T: Element>(gpu: &'static Gpu, x: &TensorOf<T>, axes: &[bool]) -> TensorOf<T> {
    reduce(gpu, "min", Stored(T::NAME), x, axes)
}

fn kept_shape<T: Element>(x: &TensorOf<T>, axes: &[bool]) -> Shape {
    let lengths: Vec<usize> = x.shape().iter().zip(axes).map(|(&n, &reduced)| if reduced { 1 } else { n }).collect();
    Shape::new(&lengths)
}

/// The partition of a block's threads, and the number of reduced elements per block.
#[derive(Debug, PartialEq)]
struct Shares {
    wide: usize,
    stretch: usize,
}

/// The partition for `results` results of `elements` elements each, where the innermost axis in memory is kept or
/// reduced: a function of shapes and layouts alone, so that the order of summation is fixed.
fn shares(results: usize, elements: usize, neighbors_kept: bool) -> Shares {
    let threads = THREADS as usize;
    let wide = if neighbors_kept {
        // With enough results for all threads, each thread reduces the elements of one result.
        if results >= BUSY * threads { threads } else { results.next_power_of_two().min(SIDE_BY_SIDE) }
    } else {
        threads / elements.next_power_of_two().min(threads)
    };
    let (rows, groups) = (threads / wide, results.div_ceil(wide));
    let chunks =
        if elements <= rows * MAX_ELEMENTS { 1 } else { (BUSY / groups).min(elements / (rows * MIN_ELEMENTS)).max(1) };
    Shares { wide, stretch: elements.div_ceil(chunks) }
}

/// Reduces the marked axes: in chunks, whose results are reduced again until one is left.
fn reduce<T: Element>(
    gpu: &'static Gpu,
    name: &'static str,
    stored: Stored,
    x: &TensorOf<T>,
    axes: &[bool],
) -> TensorOf<T> {
    let layout = x.layout();
    let shape = kept_shape(x, axes);
    let order = order_of(layout);
    let along = |marked: bool| {
        let axes = order.iter().filter(move |&&axis| axes[axis] == marked);
        Walk::of_axes(axes.map(|&axis| (layout.shape()[axis], [layout.strides()[axis]])))
    };
    let (kept, reduced) = (along(false), along(true));
    let (results, elements) = (kept.numel as usize, reduced.numel as usize);
    let inner = order.iter().rev().find(|&&axis| layout.shape()[axis] > 1);
    let Shares { wide, stretch } = shares(results, elements, inner.is_some_and(|&axis| !axes[axis]));
    let chunks = elements.div_ceil(stretch);
    let own_order: Vec<usize> = order.iter().copied().filter(|&axis| shape[axis] > 1).collect();
    let whole: Vec<usize> = order.iter().copied().filter(|&axis| shape[axis] == 1).chain(own_order).collect();
    let of_one = Layout::dense(shape, &whole);
    let launch = |y: &TensorOf<T>| {
        let grid = Grid::blocks(results.div_ceil(wide) * chunks);
        let (to, from, stretch, wide) = (address(y), stored.address(x), stretch as u32, wide as u32);
        // SAFETY: y has a result for each kept element and chunk, and the walks are in bounds of x.
        unsafe { gpu.launch(Family::Reduce, (name, stored.0), grid, [&to, &from, &kept, &reduced, &stretch, &wide]) };
    };
    if chunks == 1 {
        let y = gpu.tensor(of_one);
        launch(&y);
        return y;
    }
    let partial = gpu.tensor(Layout::contiguous(Shape::from([chunks, results])));
    launch(&partial);
    let combined = reduce(gpu, name, Stored(T::NAME), &partial, &[true, false]);
    combined.view(of_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_partitioned_by_the_innermost_axis() {
        let taken = |results, elements, kept| {
            let Shares { wide, stretch } = shares(results, elements, kept);
            (wide, stretch)
        };
        // A loss of 64 numbers, rows of ten logits, all of a large tensor.
        assert_eq!(taken(1, 64, false), (4, 64));
        assert_eq!(taken(64, 10, false), (16, 10));
        assert_eq!(taken(1, 1 << 24, false), (1, 1 << 15));
        // The partial results of 64 channels are reduced by one kernel.
        assert_eq!(taken(64, 256, true), (32, 256));
        // Bias gradients of eight channels of many pixels and of ten outputs; sums of two, with results for all threads.
        assert_eq!(taken(8, 50_176, true), (8, 256));
        assert_eq!(taken(10, 64, true), (16, 64));
        assert_eq!(taken(1 << 20, 2, true), (256, 2));
    }
}
