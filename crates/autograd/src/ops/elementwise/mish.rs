//! Mish (Misra: "Mish: a self regularized non-monotonic activation function", 2019).

use chainrule_tensor::{Binary, Float, Unary};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// `y = x·t`, `t = tanh(softplus x)`; `dx = dy · (t + x(1 − t²)·σ(x))`.
    #[must_use]
    pub fn mish(&self) -> Self {
        Self::record(self.value().unary(Unary::Mish), [self], Mish)
    }
}

struct Mish;

impl<T: Float> Rule<T> for Mish {
    fn name(&self) -> &'static str {
        "mish"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy · (t + x(1 − t²)σ(x)), t = tanh(softplus x)"
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
    let dx = dy.value().binary(Binary::MishBackward, &x.value());
    VarOf::record(dx, [dy, x], MishBackward)
}

struct MishBackward;

impl<T: Float> Rule<T> for MishBackward {
    fn name(&self) -> &'static str {
        "mish backward"
    }
    fn derivative(&self) -> &'static str {
        "d(dy) = dz · f′(x), dx′ = dz · dy · (1 − t²)s·(2 + x(1 − s) − 2x·t·s), s = σ(x)"
    }
    fn saved(&self) -> &'static str {
        "dy, x"
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (dy, x) = (op.parent(0), op.parent(1));
        let slope = || {
            let (t, s) = (x.softplus().tanh(), x.sigmoid());
            (1.0 - t.square()) * &s * (2.0 + x * (1.0 - &s) - 2.0 * (x * t * &s))
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
        let y = x.mish();
        assert_eq!(y.value().to_vec(), [0.0, 1000.0, 0.0]);
        let dx = y.sum().backward()[&x].to_vec();
        assert!((dx[0] - 0.6).abs() < 1e-15, "tanh(ln 2) = 3/5");
        assert_eq!(dx[1..], [1.0, 0.0]);
    }
}
