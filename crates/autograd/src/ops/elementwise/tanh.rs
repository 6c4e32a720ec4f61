//! The hyperbolic tangent.

use chainrule_tensor::{Binary, Float, Unary};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// `y = tanh x`; `dx = dy · (1 − y²)`.
    #[must_use]
    pub fn tanh(&self) -> Self {
        Self::record(self.value().unary(Unary::Tanh), [self], Tanh)
    }
}

struct Tanh;

impl<T: Float> Rule<T> for Tanh {
    fn name(&self) -> &'static str {
        "tanh"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy · (1 − y²)"
    }
    fn saved(&self) -> &'static str {
        "y"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(backward(dy, op.output()))]
    }
}

/// The gradient as an op of its own, so that it can be differentiated again.
fn backward<T: Float>(dy: &VarOf<T>, y: &VarOf<T>) -> VarOf<T> {
    let dx = dy.value().binary(Binary::TanhBackward, &y.value());
    VarOf::record(dx, [dy, y], TanhBackward)
}

struct TanhBackward;

impl<T: Float> Rule<T> for TanhBackward {
    fn name(&self) -> &'static str {
        "tanh backward"
    }
    fn derivative(&self) -> &'static str {
        "d(dy) = dz · (1 − y²), dy′ = −2 · dz · dy · y"
    }
    fn saved(&self) -> &'static str {
        "dy, y"
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (dy, y) = (op.parent(0), op.parent(1));
        vec![needs[0].then(|| backward(dz, y)), needs[1].then(|| -2.0 * (dz * dy * y))]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [0.0, 1000.0]);
        assert_eq!(x.tanh().sum().backward()[&x].to_vec(), [1.0, 0.0]);
    }
}
