//! The running sum along an axis.

use chainrule_tensor::{Float, Shape, TensorOf};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::ops::linear_map::{LinearMap, Text, linear};

impl<T: Float> VarOf<T> {
    /// `y[i] = Σ_{k ≤ i} x[k]` along an axis; dx is the running sum of dy from the end.
    ///
    /// # Panics
    /// If the axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn cumsum(&self, axis: isize) -> Self {
        linear(self, self.value().cumsum(axis), Cumsum(axis))
    }
}

#[derive(Clone)]
struct Cumsum(isize);

impl<T: Float> LinearMap<T> for Cumsum {
    const TEXTS: [Text; 2] = texts! {
        "cumsum": "y[…,i,…] = Σ_{k ≤ i} x[…,k,…]" => "dx[…,k,…] = Σ_{i ≥ k} dy[…,i,…]", saves "nothing";
        "cumsum backward":
            "dx[…,k,…] = Σ_{i ≥ k} dy[…,i,…]" => "d(dy)[…,i,…] = Σ_{k ≤ i} dz[…,k,…]", saves "nothing";
    };
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("axis", self.0)]
    }
    fn apply(&self, x: &TensorOf<T>, _y: Shape) -> TensorOf<T> {
        x.cumsum(self.0)
    }
    fn adjoint(&self, dy: &TensorOf<T>, _x: Shape) -> TensorOf<T> {
        dy.flip(&[self.0]).cumsum(self.0).flip(&[self.0])
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [1.0, 2.0, 3.0]);
        let y = x.cumsum(-1);
        assert_eq!(y.value().to_vec(), [1.0, 3.0, 6.0]);
        let weights = Var64::constant([1.0, 10.0, 100.0]);
        assert_eq!((y * weights).sum().backward()[&x].to_vec(), [111.0, 110.0, 100.0]);
    }
}
