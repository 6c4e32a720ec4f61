//! The rectified linear unit.

use chainrule_tensor::{Binary, Float, TensorOf, Unary};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// `y = max(x, 0)`; `dx = dy` where x > 0, else 0 (0 at 0 too, as in `PyTorch`). NaN stays NaN.
    #[must_use]
    pub fn relu(&self) -> Self {
        Self::record(self.value().unary(Unary::Relu), [self], Relu)
    }
}

struct Relu;

impl<T: Float> Rule<T> for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy where y > 0, else 0"
    }
    fn saved(&self) -> &'static str {
        "y"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(backward(dy, op.output()))]
    }
}

/// The gradient as an op of its own: linear in dy, and flat in y wherever it has a derivative.
fn backward<T: Float>(dy: &VarOf<T>, y: &VarOf<T>) -> VarOf<T> {
    let y = y.value().clone();
    let dx = dy.value().binary(Binary::ReluBackward, &y);
    VarOf::record(dx, [dy], ReluBackward { y })
}

struct ReluBackward<T: Float> {
    y: TensorOf<T>,
}

impl<T: Float> Rule<T> for ReluBackward<T> {
    fn name(&self) -> &'static str {
        "relu backward"
    }
    fn derivative(&self) -> &'static str {
        "d(dy) = dz where y > 0, else 0"
    }
    fn saved(&self) -> &'static str {
        "y"
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let _ = (op, needs);
        vec![Some(backward(dz, &VarOf::constant(&self.y)))]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [-1.0, 0.0, 2.0]);
        assert_eq!(x.relu().sum().backward()[&x].to_vec(), [0.0, 0.0, 1.0]);
        assert!(Var64::constant(f64::NAN).relu().item().is_nan());
    }
}
