//! The logarithm of the softmax.

use chainrule_tensor::Float;

use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, Tangent, VarOf};
use crate::scope::open_with;

impl<T: Float> VarOf<T> {
    /// `y = x − max − ln Σ exp(x − max)` along an axis; `dx = dy − exp(y) · Σ dy`. No overflow at any x.
    ///
    /// # Panics
    /// If the axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn log_softmax(&self, axis: isize) -> Self {
        Self::record(self.value().log_softmax(axis), [self], LogSoftmax(axis))
    }

    /// `y = exp(x) / Σ exp(x)` along an axis, computed as the exponential of [`log_softmax`](Self::log_softmax).
    ///
    /// # Panics
    /// If the axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn softmax(&self, axis: isize) -> Self {
        let _scope = open_with("softmax", || vec![Attribute::new("axis", axis)]);
        self.log_softmax(axis).exp()
    }
}

struct LogSoftmax(isize);

impl<T: Float> Rule<T> for LogSoftmax {
    describe! {
        name: "log_softmax",
        formula: "y = x − ln Σ exp(x)",
        derivative: "dx = dy − exp(y) · Σ dy",
        saved: "y",
    }
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("axis", self.0)]
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let y = op.output();
        let dx = y.value().log_softmax_backward(&dy.value(), self.0);
        vec![Some(VarOf::record(dx, [dy, y], LogSoftmaxBackward(self.0)))]
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        // dx less its mean, weighted with the probabilities.
        dx[0].as_ref().map(|dx| Tangent::forward(dx - (dx * op.output().exp()).sum_axes(&[self.0], true)))
    }
}

struct LogSoftmaxBackward(isize);

impl<T: Float> Rule<T> for LogSoftmaxBackward {
    describe! {
        name: "log_softmax backward",
        formula: "dx = dy − exp(y) · Σ dy",
        derivative: "d(dy) = dz − Σ dz · exp(y), d(y) = −dz · exp(y) · Σ dy",
        saved: "dy, y",
    }
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("axis", self.0)]
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (dy, y) = (op.parent(0), op.parent(1));
        let weighted = dz * y.exp();
        vec![
            needs[0].then(|| dz - weighted.sum_axes(&[self.0], true)),
            needs[1].then(|| -(&weighted * dy.sum_axes(&[self.0], true))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [[0.0, 0.0], [1000.0, -1000.0]]);
        let y = x.log_softmax(1);
        assert_eq!(y.value().to_vec(), [-(2f64.ln()), -(2f64.ln()), 0.0, -2000.0]);
        let dx = (y * Var64::constant([[1.0, 0.0], [0.0, 1.0]])).sum().backward()[&x].to_vec();
        assert_eq!(dx, [0.5, -0.5, -1.0, 1.0]);
    }
}
