//! Broadcasting and its adjoint, the sum over the repeated axes.

use chainrule_tensor::{Float, Shape, TensorOf};

use crate::graph::VarOf;
use crate::ops::linear_map::{LinearMap, Text, adjoint, linear};

impl<T: Float> VarOf<T> {
    /// Repeats axes of length 1 and prepends axes, without copying.
    ///
    /// `y[…, i, …] = x[…, 0, …]`, and dx is the sum of dy over all copies of an element.
    ///
    /// # Panics
    /// If an axis has neither length 1 nor the requested length.
    #[track_caller]
    #[must_use]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Self {
        linear(self, self.value().broadcast_to(shape.into()), Broadcast)
    }

    /// Sums over the axes along which a tensor of `shape` is repeated when broadcast to this shape: the adjoint of
    /// [`broadcast_to`](Self::broadcast_to).
    ///
    /// # Panics
    /// If `shape` does not broadcast to this variable's shape.
    #[track_caller]
    #[must_use]
    pub fn sum_to(&self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        if shape == self.shape() {
            return self.clone();
        }
        adjoint(self, sum_to(&self.value(), shape), Broadcast)
    }
}

#[track_caller]
fn sum_to<T: Float>(x: &TensorOf<T>, shape: Shape) -> TensorOf<T> {
    let from = x.shape();
    let fits = from.rank() >= shape.rank()
        && shape.iter().rev().zip(from.iter().rev()).all(|(&small, &large)| small == large || small == 1);
    assert!(
        fits,
        "sum_to: {shape} does not broadcast to {from}\n  rule: aligned at the last axis, lengths are equal or 1"
    );
    let front = from.rank() - shape.rank();
    let repeated = |&axis: &usize| from[axis] != 1 && (axis < front || shape[axis - front] != from[axis]);
    let axes: Vec<isize> = (0..from.rank()).filter(repeated).map(|axis| axis as isize).collect();
    if axes.is_empty() {
        return x.reshape(shape);
    }
    x.sum(&axes, true).reshape(shape)
}

#[derive(Clone)]
struct Broadcast;

impl<T: Float> LinearMap<T> for Broadcast {
    const TEXTS: [Text; 2] = texts! {
        "broadcast_to": "y = broadcast(x)" => "dx = Σ_{copies} dy", saves "nothing";
        "sum_to": "y = Σ x" => "dx = broadcast(dy)", saves "nothing";
    };
    fn apply(&self, x: &TensorOf<T>, y: Shape) -> TensorOf<T> {
        x.broadcast_to(y)
    }
    fn adjoint(&self, dy: &TensorOf<T>, x: Shape) -> TensorOf<T> {
        sum_to(dy, x)
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn a_row_used_twice_gets_the_sum_of_both_gradients() {
        let x = Var64::parameter("x", [[1.0, 2.0]]);
        let weights = Var64::constant([[3.0, 4.0], [5.0, 6.0]]);
        let y = x.broadcast_to([2, 2]) * weights;
        assert_eq!(y.sum().backward()[&x].to_vec(), [8.0, 10.0]);
    }
}
