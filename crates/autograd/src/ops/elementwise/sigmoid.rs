//! The logistic function.

use chainrule_tensor::{Binary, Float, Unary};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// `y = σ(x) = 1/(1 + e⁻ˣ)`; `dx = dy · y(1 − y)`. No overflow at any x.
    #[must_use]
    pub fn sigmoid(&self) -> Self {
        Self::record(self.value().unary(Unary::Sigmoid), [self], Sigmoid)
    }
}

struct Sigmoid;

impl<T: Float> Rule<T> for Sigmoid {
    fn name(&self) -> &'static str {
        "sigmoid"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy · y(1 − y)"
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
    let dx = dy.value().binary(Binary::SigmoidBackward, &y.value());
    VarOf::record(dx, [dy, y], SigmoidBackward)
}

struct SigmoidBackward;

impl<T: Float> Rule<T> for SigmoidBackward {
    fn name(&self) -> &'static str {
        "sigmoid backward"
    }
    fn derivative(&self) -> &'static str {
        "d(dy) = dz · y(1 − y), dy′ = dz · dy · (1 − 2y)"
    }
    fn saved(&self) -> &'static str {
        "dy, y"
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (dy, y) = (op.parent(0), op.parent(1));
        vec![needs[0].then(|| backward(dz, y)), needs[1].then(|| dz * dy * (1.0 - 2.0 * y))]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [0.0, 1000.0, -1000.0]);
        let y = x.sigmoid();
        assert_eq!(y.value().to_vec(), [0.5, 1.0, 0.0]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.25, 0.0, 0.0]);
    }
}
