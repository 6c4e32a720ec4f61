//! The leaky rectified linear unit.

use chainrule_tensor::{Binary, Float, TensorOf, Unary};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// `y = x` where x > 0, else `αx`; `dx = dy` where x > 0, else `α·dy` (at 0 too). Any slope will do: 0 is relu,
    /// 1 the identity, −1 the absolute value.
    #[must_use]
    pub fn leaky_relu(&self, slope: f64) -> Self {
        Self::record(self.value().unary(Unary::LeakyRelu(slope)), [self], LeakyRelu(slope))
    }
}

struct LeakyRelu(f64);

impl<T: Float> Rule<T> for LeakyRelu {
    fn name(&self) -> &'static str {
        "leaky_relu"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy where x > 0, else α·dy"
    }
    fn saved(&self) -> &'static str {
        "x, α"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(backward(dy, op.parent(0).value().clone(), self.0))]
    }
}

/// The gradient as an op of its own: linear in dy, and flat in x wherever it has a derivative.
fn backward<T: Float>(dy: &VarOf<T>, x: TensorOf<T>, slope: f64) -> VarOf<T> {
    let dx = dy.value().binary(Binary::LeakyReluBackward(slope), &x);
    VarOf::record(dx, [dy], LeakyReluBackward { x, slope })
}

struct LeakyReluBackward<T: Float> {
    x: TensorOf<T>,
    slope: f64,
}

impl<T: Float> Rule<T> for LeakyReluBackward<T> {
    fn name(&self) -> &'static str {
        "leaky_relu backward"
    }
    fn derivative(&self) -> &'static str {
        "d(dy) = dz where x > 0, else α·dz"
    }
    fn saved(&self) -> &'static str {
        "x, α"
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let _ = (op, needs);
        vec![Some(backward(dz, self.x.clone(), self.slope))]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [-3.0, 0.0, 2.0]);
        let y = x.leaky_relu(-1.0);
        assert_eq!(y.value().to_vec(), [3.0, 0.0, 2.0]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [-1.0, -1.0, 1.0]);
    }
}
