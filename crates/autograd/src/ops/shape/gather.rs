//! Selecting elements along an axis by index, and the adjoint.

use chainrule_tensor::{Float, Shape, TensorOf};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::ops::linear_map::{LinearMap, Text, adjoint, linear};

impl<T: Float> VarOf<T> {
    /// `y[.., i, ..] = x[.., index[.., i, ..], ..]` along an axis; `index` has x's shape except along the axis. dx is
    /// the sum of dy over all reads of an element.
    ///
    /// # Panics
    /// If the shapes do not match or an index is out of range.
    #[track_caller]
    #[must_use]
    pub fn gather(&self, axis: isize, index: &TensorOf<i32>) -> Self {
        linear(self, self.value().gather(axis, index), Gather { axis, index: index.clone() })
    }

    /// The adjoint of [`gather`](Self::gather): adds this to zeros of `shape` at `index` along an axis; dx is dy
    /// gathered at `index`.
    ///
    /// # Panics
    /// If the shapes do not match or an index is out of range.
    #[track_caller]
    #[must_use]
    pub fn scatter_add(&self, axis: isize, index: &TensorOf<i32>, shape: impl Into<Shape>) -> Self {
        let y = self.value().scatter_add(axis, index, shape.into());
        adjoint(self, y, Gather { axis, index: index.clone() })
    }
}

#[derive(Clone)]
struct Gather {
    axis: isize,
    index: TensorOf<i32>,
}

impl<T: Float> LinearMap<T> for Gather {
    const TEXTS: [Text; 2] = texts! {
        "gather": "y[…,i,…] = x[…, index[…,i,…], …]" => "dx[…,k,…] = Σ_{i : index[…,i,…] = k} dy[…,i,…]", saves "index";
        "scatter_add":
            "y[…,k,…] = Σ_{i : index[…,i,…] = k} x[…,i,…]"
            => "dx[…,i,…] = dy[…, index[…,i,…], …]",
            saves "index";
    };
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("axis", self.axis), Attribute::new("index", &self.index)]
    }
    fn apply(&self, x: &TensorOf<T>, _y: Shape) -> TensorOf<T> {
        x.gather(self.axis, &self.index)
    }
    fn adjoint(&self, dy: &TensorOf<T>, x: Shape) -> TensorOf<T> {
        dy.scatter_add(self.axis, &self.index, x)
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn an_element_read_twice_gets_both_gradients() {
        let x = Var64::parameter("x", [10.0, 20.0, 30.0]);
        let y = x.gather(0, &[2, 0, 2].into());
        assert_eq!(y.value().to_vec(), [30.0, 10.0, 30.0]);
        let weights = Var64::constant([1.0, 2.0, 4.0]);
        assert_eq!((y * weights).sum().backward()[&x].to_vec(), [2.0, 0.0, 5.0]);
    }
}
