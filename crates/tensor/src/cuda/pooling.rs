//! Pooling: `kernels/cuda/image.cu`.

use chainrule_kernels::Family;

use super::bf16::Stored;
use super::copy::arranged;
use super::images::{Images, Span, format_like};
use crate::element::Float;
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid};
use crate::kernel::PoolIndices;
use crate::layout::Layout;
use crate::shape_rules::Window;
use crate::tensor::{TensorOf, address};

const FAMILY: Family = Family::Image;

fn spans(windows: &[Window]) -> Vec<Span> {
    let span = |w: &Window| Span {
        first: w.start as i32,
        count: w.count() as i32,
        step: w.step as i32,
        divisor: w.divisor as i32,
    };
    windows.iter().map(span).collect()
}

/// For each of `length` rows or columns, the windows that contain it. With a stride s and a dilation d, every
/// (d/gcd(s, d))-th window does, from the first to the last.
fn windows_around(windows: &[Window], length: usize) -> Vec<Span> {
    let contains =
        |w: &Window, place: usize| (w.start..w.end).contains(&place) && (place - w.start).is_multiple_of(w.step);
    let span = |place: usize| {
        let mut around = (0..windows.len()).filter(|&window| contains(&windows[window], place));
        let (first, second) = (around.next(), around.next());
        let (start, step) = (first.unwrap_or(0), second.map_or(1, |second| second - first.unwrap_or(0)));
        let count = first.iter().chain(&second).count() + around.count();
        Span { first: start as i32, count: count as i32, step: step as i32, divisor: 1 }
    };
    (0..length).map(span).collect()
}

/// The layout of the result of pooling x.
fn pooled(x: &Layout, windows: &[Vec<Window>; 2]) -> Layout {
    let shape = x.shape();
    format_like(x, [shape[0], shape[1], windows[0].len(), windows[1].len()])
}

pub(crate) fn max_pool<T: Float>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    windows: &[Vec<Window>; 2],
) -> (TensorOf<T>, PoolIndices) {
    pool(gpu, x, windows, false)
}

pub(crate) fn relu_max_pool<T: Float>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    windows: &[Vec<Window>; 2],
) -> (TensorOf<T>, PoolIndices) {
    pool(gpu, x, windows, true)
}

fn pool<T: Float>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    windows: &[Vec<Window>; 2],
    relu: bool,
) -> (TensorOf<T>, PoolIndices) {
    let layout = pooled(x.layout(), windows);
    let stored = Stored::like(x);
    let (y, index) = (stored.tensor(gpu, layout), gpu.tensor::<i32>(layout));
    let [rows, columns] = windows.each_ref().map(|axis| gpu.table(&spans(axis)));
    let (from, to, relu) = (Images::of(x.layout()), Images::of(&layout), i32::from(relu));
    let arguments: [&dyn Argument; 8] =
        [&stored.address(&y), &address(&index), &stored.address(x), &from, &to, &rows, &columns, &relu];
    // SAFETY: y and the index have an element for each window, and the windows are in bounds of x.
    unsafe { gpu.launch(FAMILY, ("max_pool", stored.0), Grid::elements(layout.numel()), arguments) };
    (y, PoolIndices::new(index, windows))
}

pub(crate) fn gather2d<T: Float>(gpu: &'static Gpu, x: &TensorOf<T>, indices: &PoolIndices) -> TensorOf<T> {
    let x = gpu.operand(x);
    let index = indices.index();
    let layout = *index.layout();
    let y = gpu.tensor(layout.dense_like());
    let (from, to) = (Images::of(x.layout()), Images::of(y.layout()));
    let arguments: [&dyn Argument; 5] = [&address(&y), &address(&x), &address(index), &from, &to];
    // SAFETY: y and the index have the same layout, and all indices are in bounds of x.
    unsafe { gpu.launch(FAMILY, ("gather2d", T::NAME), Grid::elements(layout.numel()), arguments) };
    y
}

pub(crate) fn scatter2d<T: Float>(
    gpu: &'static Gpu,
    dy: &TensorOf<T>,
    indices: &PoolIndices,
    hw: [usize; 2],
) -> TensorOf<T> {
    let (index, windows) = (indices.index(), indices.windows());
    // The kernel reads both with the same strides.
    let mut same = gpu.operand(dy);
    let stored = Stored::like(&same);
    if same.layout().strides() != index.layout().strides() {
        same = arranged(gpu, &same, stored, index.layout().dense_like());
    }
    let shape = index.shape();
    let dx = stored.tensor(gpu, format_like(index.layout(), [shape[0], shape[1], hw[0], hw[1]]));
    let rows = gpu.table(&windows_around(&windows[0], hw[0]));
    let columns = gpu.table(&windows_around(&windows[1], hw[1]));
    let (from, to) = (Images::of(index.layout()), Images::of(dx.layout()));
    let arguments: [&dyn Argument; 7] =
        [&stored.address(&dx), &stored.address(&same), &address(index), &from, &to, &rows, &columns];
    // SAFETY: dy and the index have an element for each window, dx one for each pixel.
    unsafe { gpu.launch(FAMILY, ("scatter2d", stored.0), Grid::elements(dx.numel()), arguments) };
    dx
}

pub(crate) fn avg_pool<T: Float>(gpu: &'static Gpu, x: &TensorOf<T>, windows: &[Vec<Window>; 2]) -> TensorOf<T> {
    let (layout, stored) = (pooled(x.layout(), windows), Stored::like(x));
    let y = stored.tensor(gpu, layout);
    let [rows, columns] = windows.each_ref().map(|axis| gpu.table(&spans(axis)));
    let arguments: [&dyn Argument; 6] =
        [&stored.address(&y), &stored.address(x), &Images::of(x.layout()), &Images::of(&layout), &rows, &columns];
    // SAFETY: y has an element for each window, and the windows are in bounds of x.
    unsafe { gpu.launch(FAMILY, ("avg_pool", stored.0), Grid::elements(layout.numel()), arguments) };
    y
}

pub(crate) fn avg_pool_adjoint<T: Float>(
    gpu: &'static Gpu,
    dy: &TensorOf<T>,
    windows: &[Vec<Window>; 2],
    hw: [usize; 2],
) -> TensorOf<T> {
    let (shape, stored) = (dy.shape(), Stored::like(dy));
    let dx = stored.tensor(gpu, format_like(dy.layout(), [shape[0], shape[1], hw[0], hw[1]]));
    let [rows, columns] = windows.each_ref().map(|axis| gpu.table(&spans(axis)));
    let [around_rows, around_columns] = [0, 1].map(|axis| gpu.table(&windows_around(&windows[axis], hw[axis])));
    let (from, to) = (Images::of(dy.layout()), Images::of(dx.layout()));
    let arguments: [&dyn Argument; 8] =
        [&stored.address(&dx), &stored.address(dy), &from, &to, &around_rows, &around_columns, &rows, &columns];
    // SAFETY: dy has an element for each window, dx one for each pixel.
    unsafe { gpu.launch(FAMILY, ("avg_pool_adjoint", stored.0), Grid::elements(dx.numel()), arguments) };
    dx
}
