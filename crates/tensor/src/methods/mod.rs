//! The numeric methods of tensors: each checks its shapes with [`crate::shape_rules`] and calls its kernel.

mod access;
mod arrange;
mod create;
mod elements;
mod float;
mod image;
mod order;
pub mod positions;
mod scan;
mod train;
mod transfer;

use crate::element::Element;
use crate::error::OrPanic;
use crate::kernel::ElementKernels;
use crate::shape::{MAX_RANK, Shape};
use crate::shape_rules;
use crate::tensor::TensorOf;

/// The axes of a reduction as a mask, from a list in which negative axes count from the last; an empty list means all.
#[track_caller]
fn marks(op: &str, shape: Shape, axes: &[isize]) -> [bool; MAX_RANK] {
    let mut marked = [axes.is_empty(); MAX_RANK];
    for &axis in axes {
        marked[shape_rules::axis(op, shape, axis).or_panic()] = true;
    }
    marked
}

/// Removes the axes in `marked`, which have length 1, unless `keepdim` is set.
fn keep<T: Element>(y: TensorOf<T>, marked: &[bool], keepdim: bool) -> TensorOf<T> {
    if keepdim {
        return y;
    }
    let shape: Vec<usize> = y.shape().iter().zip(marked).filter(|&(_, &m)| !m).map(|(&d, _)| d).collect();
    y.reshape(shape)
}

/// Panics for an empty tensor, which has no maximum.
#[track_caller]
fn not_empty<T: Element>(op: &str, x: &TensorOf<T>) {
    assert!(x.numel() > 0, "{op}: a tensor of shape {} has no elements\n  rule: at least one element", x.shape());
}

/// Panics for an index outside `0..len`.
#[track_caller]
fn check_index(op: &str, index: &TensorOf<i32>, len: usize) {
    if let Some(worst) = outside(index, len) {
        panic!("{op}: index {worst} is out of range for an axis of length {len}\n  rule: 0 ≤ index < {len}");
    }
}

/// An index outside `0..len`, if there is one: the lowest if it is negative, else the highest. On a GPU this does not
/// synchronize: the kernel records such an index, and the next download panics.
fn outside(index: &TensorOf<i32>, len: usize) -> Option<i32> {
    if index.numel() == 0 || index.gpu().is_some() {
        return None;
    }
    let (low, high) =
        (ElementKernels::min(index, &ALL[..index.rank()]), ElementKernels::max(index, &ALL[..index.rank()]));
    let (low, high) = (low.item(), high.item());
    let worst = if low < 0 { low } else { high };
    (low < 0 || high as usize >= len).then_some(worst)
}

const ALL: [bool; MAX_RANK] = [true; MAX_RANK];
