//! The smooth version of relu.

use chainrule_tensor::{Binary, Float, Unary};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// `y = ln(1 + eˣ)`, computed as `max(x, 0) + ln(1 + e^−|x|)`; `dx = dy · σ(x)`.
    #[must_use]
    pub fn softplus(&self) -> Self {
        Self::record(self.value().unary(Unary::Softplus), [self], Softplus)
    }
}

struct Softplus;

impl<T: Float> Rule<T> for Softplus {
    fn name(&self) -> &'static str {
        "softplus"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy · σ(x)"
    }
    fn saved(&self) -> &'static str {
        "x"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(backward(dy, op.parent(0)))]
    }
}

/// The gradient as an op of its own, so that it can be differentiated again.
fn backward<T: Float>(dy: &VarOf<T>, x: &VarOf<T>) -> VarOf<T> {
    let dx = dy.value().binary(Binary::SoftplusBackward, &x.value());
    VarOf::record(dx, [dy, x], SoftplusBackward)
}

struct SoftplusBackward;

impl<T: Float> Rule<T> for SoftplusBackward {
    fn name(&self) -> &'static str {
        "softplus backward"
    }
    fn derivative(&self) -> &'static str {
        "d(dy) = dz · σ(x), dx′ = dz · dy · σ(x)(1 − σ(x))"
    }
    fn saved(&self) -> &'static str {
        "dy, x"
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (dy, x) = (op.parent(0), op.parent(1));
        let slope = || {
            let s = x.sigmoid();
            &s * (1.0 - &s)
        };
        vec![needs[0].then(|| backward(dz, x)), needs[1].then(|| dz * dy * slope())]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [0.0, 1000.0, -1000.0]);
        let y = x.softplus();
        assert_eq!(y.value().to_vec(), [2f64.ln(), 1000.0, 0.0]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.5, 1.0, 0.0]);
    }
}
