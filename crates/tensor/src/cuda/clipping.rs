//! Gradient clipping, over all gradients at once: `kernels/cuda/optimizer.cu`.

use chainrule_kernels::Family;

use super::multi_tensor::{Tensors, for_launches, ordered, owned};
use super::strided_index::order_of;
use crate::element::Float;
use crate::gpu::Gpu;
use crate::gpu::launch::{Grid, checked};
use crate::layout::Layout;
use crate::shape::Shape;
use crate::tensor::{TensorOf, address};

/// The sums of squares per block in `optimizer.cu`: of the elements, and of the elements scaled down and up.
const RANGES: usize = 3;

pub(crate) fn norm<T: Float>(gpu: &'static Gpu, xs: &[&TensorOf<T>]) -> TensorOf<f64> {
    let prepare = |x: &&TensorOf<T>| {
        let x = gpu.operand(x);
        Tensors { changed: 0, read: ordered(gpu, &x, &order_of(x.layout())), state: [0; 2] }
    };
    let slots: Vec<_> = xs.iter().map(prepare).collect();
    // Partial sums for each block of each launch, one for each range of magnitudes.
    let blocks: usize = slots.iter().map(Tensors::blocks).sum();
    let partial: TensorOf<f64> = gpu.tensor(Layout::contiguous(Shape::from([blocks, RANGES])));
    let mut to = address(&partial);
    for_launches(slots.iter(), |slots, grid| {
        // SAFETY: each slot states its number of elements, and from `to` on there are the sums of each block.
        unsafe { gpu.launch(Family::Optimizer, ("sum_of_squares", T::NAME), grid, [slots, &to]) };
        to += u64::from(grid.blocks[0]) * (RANGES * size_of::<f64>()) as u64;
    });
    let norm: TensorOf<f64> = gpu.tensor(Layout::contiguous(Shape::scalar()));
    let (to, from, count) = (address(&norm), address(&partial), checked(blocks));
    // SAFETY: the result has one element, and there are the sums of `count` blocks.
    unsafe { gpu.launch(Family::Optimizer, ("norm_of_partials", "f64"), Grid::blocks(1), [&to, &from, &count]) };
    norm
}

pub(crate) fn clip_to_norm<T: Float>(
    gpu: &'static Gpu,
    xs: Vec<&mut TensorOf<T>>,
    norm: &TensorOf<f64>,
    max_norm: f64,
) {
    let norm = gpu.operand(norm);
    let prepare = |x: &mut TensorOf<T>| {
        // As any operand: a tensor on another device is an error, a scalar from the host is filled in without a copy.
        *x = gpu.operand(x);
        let order = order_of(x.layout());
        Tensors { changed: owned(gpu, x, &order), read: x.clone(), state: [0; 2] }
    };
    let slots: Vec<_> = xs.into_iter().map(prepare).collect();
    for_launches(slots.iter(), |slots, grid| {
        // SAFETY: each slot states its number of elements and is exclusive; the norm has one element.
        unsafe { gpu.launch(Family::Optimizer, ("clip_to_norm", T::NAME), grid, [slots, &address(&norm), &max_norm]) };
    });
}
