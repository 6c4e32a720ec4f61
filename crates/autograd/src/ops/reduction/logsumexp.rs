//! The logarithm of a sum of exponentials.

use chainrule_tensor::Float;

use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, Tangent, VarOf};

impl<T: Float> VarOf<T> {
    /// `y = ln Σ exp(x)` along some axes (none means all), without overflow at any x; `dx = dy · exp(x − y)`, the softmax. −∞ of
    /// no elements, and of elements that are all −∞, where dx is NaN (as in `PyTorch`).
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn logsumexp(&self, axes: &[isize], keepdim: bool) -> Self {
        let kept = Self::record(self.value().logsumexp(axes, true), [self], LogSumExp(axes.to_vec()));
        if keepdim { kept } else { kept.drop_axes(axes) }
    }
}

/// The rule of the result with the reduced axes kept.
struct LogSumExp(Vec<isize>);

impl<T: Float> Rule<T> for LogSumExp {
    describe! {
        name: "logsumexp",
        formula: "y = ln Σ exp(x)",
        derivative: "dx = dy · exp(x − y)",
        saved: "x, y",
    }
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("axes", &self.0[..])]
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(dy * (op.parent(0) - op.output()).exp())]
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        // The mean of dx, weighted with the probabilities.
        let weights = (op.parent(0) - op.output()).exp();
        dx[0].as_ref().map(|dx| Tangent::slope((dx * weights).sum_axes(&self.0, true)))
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [[1000.0, 1000.0], [-1000.0, 0.0]]);
        let y = x.logsumexp(&[1], false);
        assert_eq!(y.value().to_vec(), [1000.0 + 2f64.ln(), 0.0]);
        let dx = y.sum().backward()[&x].to_vec();
        assert!((dx[0] - 0.5).abs() < 1e-12 && (dx[1] - 0.5).abs() < 1e-12 && dx[2..] == [0.0, 1.0], "{dx:?}");
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let y = Var64::constant([[low, low], [high, 1.0], [high, low]]).logsumexp(&[1], true);
        assert_eq!(y.value().to_vec(), [low, high, high]);
        assert_eq!(x.narrow(0, 0..0).logsumexp(&[0], false).value().to_vec(), [low, low]);
    }
}
