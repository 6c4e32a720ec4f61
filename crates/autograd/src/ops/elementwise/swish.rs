//! Swish, also called SiLU for β = 1 (Ramachandran, Zoph, Le: "Searching for activation functions", 2017).

use chainrule_tensor::{Binary, Float, Unary};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// `y = x·σ(βx)`; `dx = dy · (s + βx·s(1 − s))` with s = σ(βx). β → 0 gives x/2, β → ∞ gives relu.
    #[must_use]
    pub fn swish(&self, beta: f64) -> Self {
        Self::record(self.value().unary(Unary::Swish(beta)), [self], Swish(beta))
    }
}

struct Swish(f64);

impl<T: Float> Rule<T> for Swish {
    fn name(&self) -> &'static str {
        "swish"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy · (s + βx·s(1 − s)), s = σ(βx)"
    }
    fn saved(&self) -> &'static str {
        "x, β"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(backward(dy, op.parent(0), self.0))]
    }
}

/// The gradient as an op of its own, so that it can be differentiated again.
fn backward<T: Float>(dy: &VarOf<T>, x: &VarOf<T>, beta: f64) -> VarOf<T> {
    let dx = dy.value().binary(Binary::SwishBackward(beta), &x.value());
    VarOf::record(dx, [dy, x], SwishBackward(beta))
}

struct SwishBackward(f64);

impl<T: Float> Rule<T> for SwishBackward {
    fn name(&self) -> &'static str {
        "swish backward"
    }
    fn derivative(&self) -> &'static str {
        "d(dy) = dz · (s + βx·s(1 − s)), dx′ = dz · dy · β·s(1 − s)(2 + βx(1 − 2s))"
    }
    fn saved(&self) -> &'static str {
        "dy, x, β"
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (dy, x, beta) = (op.parent(0), op.parent(1), self.0);
        let slope = || {
            let s = (beta * x).sigmoid();
            beta * (&s * (1.0 - &s) * (2.0 + beta * x * (1.0 - 2.0 * &s)))
        };
        vec![needs[0].then(|| backward(dz, x, beta)), needs[1].then(|| dz * dy * slope())]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [0.0, 1000.0, -1000.0]);
        let y = x.swish(1.0);
        assert_eq!(y.value().to_vec(), [0.0, 1000.0, 0.0]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.5, 1.0, 0.0]);
    }
}
