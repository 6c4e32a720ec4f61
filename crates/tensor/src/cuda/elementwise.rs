//! Elementwise kernels: `kernels/cuda/elementwise.cu`.

use std::any::Any;

use chainrule_kernels::Family;

use super::bf16::{BF16, Stored};
use super::strided_index::{Walk, order_of, result_layout};
use crate::element::{Element, Float};
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid, checked};
use crate::kernel::{Binary, Compare, Unary};
use crate::layout::Layout;
use crate::scalar::Scalar;
use crate::shape_rules;
use crate::tensor::{TensorOf, address};

const FAMILY: Family = Family::Elementwise;

/// A dense, uninitialized result for operands that broadcast to its shape, and the walk over both.
fn result<T: Element, const N: usize>(
    gpu: &'static Gpu,
    stored: Stored,
    operands: [&Layout; N],
) -> (TensorOf<T>, Walk<N>) {
    let broadcast = |a, b: &&Layout| shape_rules::broadcast("elementwise", a, b.shape()).expect("shapes were checked");
    let shape = operands[1..].iter().fold(operands[0].shape(), broadcast);
    let layout = result_layout(shape, &operands);
    (stored.tensor(gpu, layout), Walk::new(shape, &order_of(&layout), operands))
}

/// Launches a kernel with one thread per element.
///
/// # Safety
/// As for [`Gpu::launch`].
unsafe fn start<const N: usize>(
    gpu: &Gpu,
    name: &'static str,
    kind: &'static str,
    numel: u32,
    arguments: [&dyn Argument; N],
) {
    // SAFETY: promised by the caller.
    unsafe { gpu.launch(FAMILY, (name, kind), Grid::elements(numel as usize), arguments) }
}

pub(crate) fn unary<T: Float>(gpu: &'static Gpu, op: Unary, x: &TensorOf<T>) -> TensorOf<T> {
    let stored = Stored::like(x);
    let (y, walk) = result(gpu, stored, [x.layout()]);
    let (to, from) = (stored.address(&y), stored.address(x));
    let (op, [a, b]) = op.code();
    // SAFETY: y has the walk's elements, and the walk is in bounds of x.
    unsafe { start(gpu, "unary", stored.0, walk.numel, [&to, &from, &walk, &op, &a, &b]) };
    y
}

pub(crate) fn binary<T: Float>(gpu: &'static Gpu, op: Binary, v: &TensorOf<T>, w: &TensorOf<T>) -> TensorOf<T> {
    let (v, w) = (gpu.operand(v), gpu.operand(w));
    // bf16 only if both are bf16: rounding a constant factor, such as that of dropout, would be a systematic error.
    let stored = if v.is_bf16() && w.is_bf16() { BF16 } else { Stored(T::NAME) };
    let (y, walk) = result(gpu, stored, [v.layout(), w.layout()]);
    let (op, [a, b]) = op.code();
    let [to, from_v, from_w] = [&y, &v, &w].map(|x| stored.address(x));
    let arguments: [&dyn Argument; 7] = [&to, &from_v, &from_w, &walk, &op, &a, &b];
    // SAFETY: y has the walk's elements, and the walk is in bounds of v and w.
    unsafe { start(gpu, "binary", stored.0, walk.numel, arguments) };
    y
}

pub(crate) fn add_assign<T: Float>(gpu: &'static Gpu, y: &mut TensorOf<T>, x: &TensorOf<T>) {
    let x = gpu.operand(x);
    if y.is_bf16() && x.is_bf16() {
        *y = binary(gpu, Binary::Add, y, &x);
        return;
    }
    y.make_own();
    let walk = Walk::new(y.shape(), &order_of(y.layout()), [y.layout(), x.layout()]);
    // SAFETY: y is exclusive, and the walk is in bounds of y and x.
    unsafe { start(gpu, "add_assign", T::NAME, walk.numel, [&address(y), &address(&x), &walk]) };
}

pub(crate) fn compare<T: Element>(gpu: &'static Gpu, op: Compare, a: &TensorOf<T>, b: &TensorOf<T>) -> TensorOf<u8> {
    let (a, b) = (gpu.operand(a), gpu.operand(b));
    let (y, walk) = result(gpu, Stored(u8::NAME), [a.layout(), b.layout()]);
    let op = op as i32;
    // SAFETY: y has the walk's elements, and the walk is in bounds of a and b.
    unsafe { start(gpu, "compare", T::NAME, walk.numel, [&address(&y), &address(&a), &address(&b), &walk, &op]) };
    y
}

pub(crate) fn select<T: Element>(
    gpu: &'static Gpu,
    mask: &TensorOf<u8>,
    a: &TensorOf<T>,
    b: &TensorOf<T>,
) -> TensorOf<T> {
    let (mask, a, b) = (gpu.operand(mask), gpu.operand(a), gpu.operand(b));
    let (y, walk) = result(gpu, Stored(T::NAME), [mask.layout(), a.layout(), b.layout()]);
    let arguments: [&dyn Argument; 5] = [&address(&y), &address(&mask), &address(&a), &address(&b), &walk];
    // SAFETY: y has the walk's elements, and the walk is in bounds of the operands.
    unsafe { start(gpu, "select", T::NAME, walk.numel, arguments) };
    y
}

pub(crate) fn cast<T: Element, U: Element>(gpu: &'static Gpu, x: &TensorOf<T>) -> TensorOf<U> {
    if let Some(same) = (x as &dyn Any).downcast_ref::<TensorOf<U>>() {
        return same.clone();
    }
    let name = match U::NAME {
        "f32" => "to_f32",
        "f64" => "to_f64",
        "i32" => "to_i32",
        _ => "to_u8",
    };
    let (y, walk) = result::<U, 1>(gpu, Stored(U::NAME), [x.layout()]);
    // SAFETY: y has the walk's elements, and the walk is in bounds of x.
    unsafe { start(gpu, name, T::NAME, walk.numel, [&address(&y), &address(x), &walk]) };
    y
}

pub(crate) fn fill<T: Element + Argument>(gpu: &'static Gpu, layout: Layout, value: T) -> TensorOf<T> {
    let y = gpu.tensor(layout);
    let numel = checked(layout.numel());
    // SAFETY: y has `numel` elements.
    unsafe { start(gpu, "fill", T::NAME, numel, [&address(&y), &value, &numel]) };
    y
}
