//! Resampling: `kernels/cuda/image.cu`.

use chainrule_kernels::Family;

use super::images::{Images, around, format_like};
use crate::element::Float;
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid};
use crate::kernel::Tap;
use crate::tensor::{TensorOf, address};

/// `Mix` of the kernels.
#[repr(C)]
#[derive(Clone, Copy)]
struct Mix {
    lower: i32,
    upper: i32,
    lower_weight: f64,
}

fn mixes(taps: &[Tap]) -> Vec<Mix> {
    let mix = |tap: &Tap| Mix { lower: tap.lower as i32, upper: tap.upper as i32, lower_weight: tap.lower_weight };
    taps.iter().map(mix).collect()
}

pub(crate) fn resample<T: Float>(gpu: &'static Gpu, x: &TensorOf<T>, taps: &[Vec<Tap>; 2]) -> TensorOf<T> {
    let shape = x.shape();
    let layout = format_like(x.layout(), [shape[0], shape[1], taps[0].len(), taps[1].len()]);
    let y = gpu.tensor(layout);
    let [rows, columns] = taps.each_ref().map(|axis| gpu.table(&mixes(axis)));
    let arguments: [&dyn Argument; 6] =
        [&address(&y), &address(x), &Images::of(x.layout()), &Images::of(&layout), &rows, &columns];
    // SAFETY: y has an element for each pair of taps, which are in bounds of x.
    unsafe { gpu.launch(Family::Image, ("resample", T::NAME), Grid::elements(layout.numel()), arguments) };
    y
}

pub(crate) fn adjoint<T: Float>(
    gpu: &'static Gpu,
    dy: &TensorOf<T>,
    taps: &[Vec<Tap>; 2],
    hw: [usize; 2],
) -> TensorOf<T> {
    let shape = dy.shape();
    let dx = gpu.tensor(format_like(dy.layout(), [shape[0], shape[1], hw[0], hw[1]]));
    let [rows, columns] = taps.each_ref().map(|axis| gpu.table(&mixes(axis)));
    let [around_rows, around_columns] = [0, 1].map(|axis| {
        let touches = |tap: usize, place: usize| taps[axis][tap].lower == place || taps[axis][tap].upper == place;
        gpu.table(&around(hw[axis], taps[axis].len(), touches))
    });
    let (from, to) = (Images::of(dy.layout()), Images::of(dx.layout()));
    let arguments: [&dyn Argument; 8] =
        [&address(&dx), &address(dy), &from, &to, &around_rows, &around_columns, &rows, &columns];
    // SAFETY: dy has an element for each pair of taps, dx one for each pixel.
    unsafe { gpu.launch(Family::Image, ("resample_adjoint", T::NAME), Grid::elements(dx.numel()), arguments) };
    dx
}
