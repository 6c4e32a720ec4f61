//! Index tensors and masks for [`TensorOf::gather`] and [`TensorOf::select`], which ops that rearrange elements use.

use super::outside;
use crate::device::Device;
use crate::element::Element;
use crate::error::OrPanic;
use crate::kernel::{Binary, Compare, Unary};
use crate::shape::Shape;
use crate::shape_rules;
use crate::tensor::{Tensor64, TensorOf};

/// An index (n) for all lines of an axis: x's shape with n elements along the axis, without copying.
///
/// # Panics
/// If the index has not one axis.
#[track_caller]
pub fn along(x: Shape, axis: usize, index: &TensorOf<i32>) -> TensorOf<i32> {
    assert!(index.rank() == 1, "index_select: the index has shape {}\n  rule: one axis, (n)", index.shape());
    let n = index.numel();
    let line: Vec<usize> = (0..x.rank()).map(|a| if a == axis { n } else { 1 }).collect();
    index.reshape(line).broadcast_to(x.with(axis, n))
}

/// The row-major positions in the first axes of x, one for each list; the lists are broadcast. A negative index counts from
/// the end. On a GPU, an index out of range gives the position −1.
///
/// # Panics
/// If there are no lists or more than axes, they do not broadcast, or an index on the CPU is out of range.
#[track_caller]
pub fn of_lists(x: Shape, lists: &[&TensorOf<i32>]) -> TensorOf<i32> {
    let count = lists.len();
    assert!(
        (1..=x.rank()).contains(&count),
        "index: {count} lists for {} axes\n  x = {x}\n  rule: one list for each of the first axes",
        x.rank()
    );
    let shapes = lists.iter().map(|list| list.shape());
    shapes.reduce(|a, b| shape_rules::broadcast("index", a, b).or_panic());
    let mut position: Option<Tensor64> = None;
    let mut faults = Vec::new();
    for (axis, list) in lists.iter().enumerate() {
        let (len, zero) = (x[axis] as f64, Tensor64::scalar(0.0));
        let index = list.to_f64();
        let index = index.unary(Unary::Add(len)).select(&index.compare(Compare::Less, &zero), &index);
        if let Some(worst) = outside(&index.to_i32(), x[axis]) {
            let given = if worst < 0 { worst - x[axis] as i32 } else { worst };
            panic!(
                "index: index {given} is out of range for axis {axis}\n  x = {x}\n  rule: −{0} ≤ index < {0}",
                x[axis]
            );
        }
        if list.gpu().is_some() {
            faults.push(index.compare(Compare::Less, &zero));
            faults.push(index.compare(Compare::GreaterEqual, &Tensor64::scalar(len)));
        }
        position = Some(match position {
            Some(before) => before.unary(Unary::Mul(len)).binary(Binary::Add, &index),
            None => index,
        });
    }
    let position = position.expect("there is a list");
    faults.iter().fold(position, |position, fault| Tensor64::scalar(-1.0).select(fault, &position)).to_i32()
}

/// The row-major positions of the elements of `shape` at which a mask, broadcast to it, is not 0; synchronizes with a GPU.
///
/// # Panics
/// If the mask does not broadcast to the shape.
#[track_caller]
pub fn of_mask(mask: &TensorOf<u8>, shape: Shape) -> TensorOf<i32> {
    let mask = mask.broadcast_to(shape);
    let chosen = mask.to_vec().iter().enumerate().filter(|&(_, &m)| m != 0).map(|(i, _)| i as i32).collect::<Vec<_>>();
    TensorOf::from(chosen).to(mask.device())
}

/// The positions of `count` windows of `size` elements, one window after the other, at a distance of `step`.
pub fn of_windows(device: Device, count: usize, size: usize, step: usize) -> TensorOf<i32> {
    TensorOf::from_fn(count * size, |i| (i / size * step + i % size) as i32).to(device)
}

/// 1 for the elements on diagonal number `offset` of a matrix and above it, else 0: (rows, columns).
pub fn upper_triangle(device: Device, [rows, columns]: [usize; 2], offset: isize) -> TensorOf<u8> {
    let above = |i: usize| (i % columns) as isize - (i / columns) as isize >= offset;
    TensorOf::from_fn([rows, columns], |i| u8::from(above(i))).to(device)
}

/// 1 for the elements that are not 0, among them NaN, else 0.
pub(super) fn nonzero<T: Element>(x: &TensorOf<T>) -> TensorOf<u8> {
    x.compare(Compare::NotEqual, &TensorOf::scalar(T::ZERO))
}
