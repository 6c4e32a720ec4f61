//! GELU (Hendrycks, Gimpel: "Gaussian error linear units", 2016).

use std::f64::consts::PI;

use chainrule_tensor::{Binary, Float, Unary};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

/// The weight of x³ in the approximation.
const CUBIC: f64 = 0.044_715;

impl<T: Float> VarOf<T> {
    /// `y = x·Φ(x)`, Φ being the standard normal's distribution function and φ its density; `dx = dy · (Φ(x) + x·φ(x))`.
    #[must_use]
    pub fn gelu(&self) -> Self {
        Self::record(self.value().unary(Unary::Gelu), [self], Gelu)
    }

    /// The approximation `y = x/2 · (1 + tanh u)`, `u = √(2/π)·(x + 0.044715x³)`;
    /// `dx = dy · ((1 + tanh u)/2 + x/2 · (1 − tanh²u) · u′)`.
    #[must_use]
    pub fn gelu_tanh(&self) -> Self {
        Self::record(self.value().unary(Unary::GeluTanh), [self], GeluTanh)
    }
}

struct Gelu;

impl<T: Float> Rule<T> for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy · (Φ(x) + x·φ(x))"
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
    let dx = dy.value().binary(Binary::GeluBackward, &x.value());
    VarOf::record(dx, [dy, x], GeluBackward)
}

struct GeluBackward;

impl<T: Float> Rule<T> for GeluBackward {
    fn name(&self) -> &'static str {
        "gelu backward"
    }
    fn derivative(&self) -> &'static str {
        "d(dy) = dz · (Φ(x) + x·φ(x)), dx′ = dz · dy · φ(x)(2 − x²)"
    }
    fn saved(&self) -> &'static str {
        "dy, x"
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (dy, x) = (op.parent(0), op.parent(1));
        let density = || (-0.5 * x.square()).exp() * (1.0 / (2.0 * PI).sqrt());
        vec![needs[0].then(|| backward(dz, x)), needs[1].then(|| dz * dy * density() * (2.0 - x.square()))]
    }
}

struct GeluTanh;

impl<T: Float> Rule<T> for GeluTanh {
    fn name(&self) -> &'static str {
        "gelu_tanh"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy · ((1 + t)/2 + x/2 · (1 − t²)·u′), t = tanh u, u = √(2/π)·(x + 0.044715x³)"
    }
    fn saved(&self) -> &'static str {
        "x"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(tanh_backward(dy, op.parent(0)))]
    }
}

/// The gradient of the approximation as an op of its own.
fn tanh_backward<T: Float>(dy: &VarOf<T>, x: &VarOf<T>) -> VarOf<T> {
    let dx = dy.value().binary(Binary::GeluTanhBackward, &x.value());
    VarOf::record(dx, [dy, x], GeluTanhBackward)
}

struct GeluTanhBackward;

impl<T: Float> Rule<T> for GeluTanhBackward {
    fn name(&self) -> &'static str {
        "gelu_tanh backward"
    }
    fn derivative(&self) -> &'static str {
        "d(dy) = dz · f′(x), dx′ = dz · dy · (1 − t²)(u′ + x/2·u″ − x·t·u′²)"
    }
    fn saved(&self) -> &'static str {
        "dy, x"
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (dy, x) = (op.parent(0), op.parent(1));
        let curve = || {
            let c = (2.0 / PI).sqrt();
            let t = (c * (x + CUBIC * x.pow(3.0))).tanh();
            let u1 = c * (1.0 + (3.0 * CUBIC) * x.square());
            let u2 = (c * 6.0 * CUBIC) * x;
            (1.0 - t.square()) * (&u1 + 0.5 * (x * u2) - x * &t * u1.square())
        };
        vec![needs[0].then(|| tanh_backward(dz, x)), needs[1].then(|| dz * dy * curve())]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [0.0, 1000.0, -1000.0]);
        for y in [x.gelu(), x.gelu_tanh()] {
            assert_eq!(y.value().to_vec(), [0.0, 1000.0, 0.0]);
            assert_eq!(y.sum().backward()[&x].to_vec(), [0.5, 1.0, 0.0]);
        }
    }
}
