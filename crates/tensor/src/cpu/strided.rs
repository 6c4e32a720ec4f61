//! Operands in the memory order that a kernel requires: borrowed if possible, else copied.

use std::borrow::Cow;

use crate::element::Element;
use crate::layout::Layout;
use crate::shape::MAX_RANK;
use crate::tensor::{TensorOf, vec_for};

/// The elements of `x` with its axes, from the outermost to the innermost, in `order`.
pub(crate) fn in_order<'a, T: Element>(x: &'a TensorOf<T>, order: &[usize]) -> Cow<'a, [T]> {
    let (from, shape) = (x.layout(), x.shape());
    if shape.numel() == 0 {
        return Cow::Borrowed(&[]);
    }
    if lies_in_order(from, order) {
        return Cow::Borrowed(&x.buffer()[from.offset()..from.offset() + shape.numel()]);
    }
    let Some((&inner, outer)) = order.split_last() else { unreachable!("a scalar lies in order") };
    let (buffer, strides) = (x.buffer(), from.strides());
    let mut out = vec_for(&shape);
    let mut index = [0; MAX_RANK];
    while out.len() < shape.numel() {
        let start = from.position(&index[..shape.rank()]) as isize;
        out.extend((0..shape[inner] as isize).map(|i| buffer[(start + i * strides[inner]) as usize]));
        for &axis in outer.iter().rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Cow::Owned(out)
}

/// Whether the elements are contiguous with the axes in this order.
pub(crate) fn lies_in_order(layout: &Layout, order: &[usize]) -> bool {
    let (shape, strides) = (layout.shape_ref(), layout.strides());
    let mut step = 1;
    order.iter().rev().all(|&axis| {
        let here = shape[axis] == 1 || strides[axis] == step;
        step *= shape[axis].max(1) as isize;
        here
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_strides_are_read_in_the_order_asked_for() {
        let base = TensorOf::<i32>::arange(4 * 5 * 6).reshape([4, 5, 6]);
        let views = [
            base.clone(),
            base.permute(&[2, 0, 1]),
            base.slice(1, 4, 3, -2).permute(&[1, 2, 0]),
            base.narrow(0, 1..2).broadcast_to([3, 5, 6]),
            base.narrow(2, 0..0),
            base.narrow(1, 2..3),
        ];
        for x in views {
            for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
                let y = x.permute(&order);
                let shape = y.shape();
                let at = |i: usize| y.at(&[i / shape[2] / shape[1], i / shape[2] % shape[1], i % shape[2]]);
                let expected: Vec<i32> = (0..shape.numel()).map(at).collect();
                assert_eq!(*in_order(&x, &order), expected, "{:?} as {order:?}", x.layout());
            }
        }
        assert!(matches!(in_order(&base.permute(&[2, 0, 1]), &[1, 2, 0]), Cow::Borrowed(_)));
        assert_eq!(*in_order(&TensorOf::scalar(3), &[]), [3]);
    }
}
