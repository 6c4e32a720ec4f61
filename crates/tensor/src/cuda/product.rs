//! Matrix products: on the tensor cores where supported, else by `kernels/cuda/product.cu`.

use chainrule_kernels::Family;

use super::split_k::{TILE, add_splits, split_count, tiles};
use super::strided_index::Walk;
use super::tensor_core::{self, Plan};
use crate::element::Float;
use crate::gpu::Gpu;
use crate::gpu::launch::Argument;
use crate::layout::Layout;
use crate::shape::Shape;
use crate::tensor::{TensorOf, address};

/// `Matrices` of the kernels.
#[repr(C)]
struct Matrices {
    m: i32,
    n: i32,
    k: i32,
    a: [i64; 2],
    b: [i64; 2],
    c: [i64; 2],
}

// SAFETY: the same fields of the same sizes in the same order.
unsafe impl Argument for Matrices {}

/// The kernel whose reads of both operands are coalesced.
fn variant(a: [i64; 2], b: [i64; 2]) -> &'static str {
    match (a[1] == 1, b[0] == 1) {
        (true, false) => "matmul_nn",
        (true, true) => "matmul_nt",
        (false, false) => "matmul_tn",
        (false, true) => "matmul_tt",
    }
}

pub(crate) fn matmul<T: Float>(gpu: &'static Gpu, a: &TensorOf<T>, b: &TensorOf<T>) -> TensorOf<T> {
    product(gpu, &gpu.operand(a), &gpu.operand(b), None)
}

pub(crate) fn linear<T: Float>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    w: &TensorOf<T>,
    b: Option<&TensorOf<T>>,
) -> TensorOf<T> {
    let bias = b.map(|b| gpu.operand(b));
    product(gpu, &gpu.operand(x), &gpu.operand(w).transpose(0, 1), bias.as_ref())
}

/// `a · b`, plus a bias for each column: (…,M,K) · (…,K,N) → (…,M,N).
fn product<T: Float>(gpu: &'static Gpu, a: &TensorOf<T>, b: &TensorOf<T>, bias: Option<&TensorOf<T>>) -> TensorOf<T> {
    let rank = a.rank();
    let (m, k, n) = (a.shape()[rank - 2], a.shape()[rank - 1], b.shape()[rank - 1]);
    let lead = rank - 2;
    if lead == 0
        && let Some(c) = on_tensor_cores(gpu, [a, b], bias)
    {
        return c;
    }
    let shape = Shape::new(&[&a.shape()[..lead], &[m, n]].concat());
    let c = gpu.tensor::<T>(Layout::contiguous(shape));
    let batch = Walk::of_axes((0..lead).map(|i| (shape[i], [a.layout().strides()[i], b.layout().strides()[i]])));
    if shape.numel() == 0 {
        return c;
    }
    let layers = batch.numel as usize;
    let tile_count = m.div_ceil(TILE) * n.div_ceil(TILE);
    let splits = if layers == 1 { split_count(tile_count, k) } else { 1 };
    let strides = |x: &TensorOf<T>| [x.layout().strides()[lead] as i64, x.layout().strides()[lead + 1] as i64];
    let matrices = Matrices { m: m as i32, n: n as i32, k: k as i32, a: strides(a), b: strides(b), c: [n as i64, 1] };
    let name = variant(matrices.a, matrices.b);
    let partial = (splits > 1).then(|| gpu.tensor::<T>(Layout::contiguous(Shape::from([splits, m, n]))));
    let bias_stride = bias.map_or(0, |bias| bias.layout().strides()[0] as i64);
    let bias = bias.map_or(0, address);
    let (to, from_a, from_b, count) = (address(partial.as_ref().unwrap_or(&c)), address(a), address(b), splits as i32);
    let here = if splits > 1 { 0 } else { bias };
    // SAFETY: the strides are in bounds of a and b, and the result has m × n elements for each layer or split.
    unsafe {
        let arguments: [&dyn Argument; 8] = [&to, &from_a, &from_b, &here, &matrices, &batch, &bias_stride, &count];
        gpu.launch(Family::Product, (name, T::NAME), tiles([m, n], layers, splits), arguments);
    }
    if let Some(partial) = partial {
        add_splits(gpu, &c, None, &partial, (bias, bias_stride, n));
    }
    c
}

/// a · b + bias on the tensor cores, if supported: computed as a 1×1 convolution or as one of its gradients, whichever
/// reads the operands with their strides.
fn on_tensor_cores<T: Float>(
    gpu: &'static Gpu,
    [a, b]: [&TensorOf<T>; 2],
    bias: Option<&TensorOf<T>>,
) -> Option<TensorOf<T>> {
    let [m, k, n] = [a.shape()[0], a.shape()[1], b.shape()[1]];
    let along = |x: &TensorOf<T>| x.layout().strides()[1] == 1;
    let layout = Layout::contiguous(Shape::from([m, n]));
    // y (pixels, O) = x (pixels, C) · wᵀ (C, O)
    if along(a) && !along(b) || bias.is_some() {
        let plan = Plan::of_product::<T>(gpu, [m, k, n])?;
        let mut c = plan.tensor(gpu, n, layout);
        tensor_core::forward(
            gpu,
            &mut c,
            [&plan.rows(gpu, a), &plan.rows(gpu, &b.transpose(0, 1))],
            bias,
            &plan,
            false,
        );
        return Some(c);
    }
    // dx (pixels, C) = dy (pixels, O) · w (O, C)
    if along(a) {
        let plan = Plan::of_product::<T>(gpu, [m, n, k])?;
        let c = plan.tensor(gpu, n, layout);
        tensor_core::input_gradient(gpu, &c, [&plan.rows(gpu, a), &plan.rows(gpu, b)], &plan);
        return Some(c);
    }
    Some(transposed_product(gpu, &a.transpose(0, 1), b, false)?.0)
}

/// dw (O, C) = dyᵀ (O, pixels) · x (pixels, C) on the tensor cores, if supported, always stored as f32; and, if requested
/// and a by-product of the kernel, the sum of each channel of dy.
fn transposed_product<T: Float>(
    gpu: &'static Gpu,
    dy: &TensorOf<T>,
    x: &TensorOf<T>,
    sums: bool,
) -> Option<(TensorOf<T>, Option<TensorOf<T>>)> {
    let [pixels, outputs, channels] = [x.shape()[0], dy.shape()[1], x.shape()[1]];
    let plan = Plan::of_product::<T>(gpu, [pixels, channels, outputs])?;
    let dw = gpu.tensor(Layout::contiguous(Shape::from([outputs, channels])));
    let sums = tensor_core::weight_gradient(gpu, &dw, [&plan.rows(gpu, dy), &plan.rows(gpu, x)], &plan, sums);
    Some((dw, sums))
}

pub(crate) fn linear_parameter_gradients<T: Float>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    dy: &TensorOf<T>,
    [for_w, for_b]: [bool; 2],
) -> [Option<TensorOf<T>>; 2] {
    let (x, dy) = (gpu.operand(x), gpu.operand(dy));
    let weight_gradient = || {
        transposed_product(gpu, &dy, &x, for_b).unwrap_or_else(|| (product(gpu, &dy.transpose(0, 1), &x, None), None))
    };
    let (dw, sums) = for_w.then(weight_gradient).unzip();
    let db = for_b.then(|| sums.flatten().unwrap_or_else(|| dy.sum(&[0], false)));
    [dw, db]
}
