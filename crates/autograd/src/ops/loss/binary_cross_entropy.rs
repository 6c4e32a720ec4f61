//! Binary cross-entropy, of probabilities and of logits.

use chainrule_tensor::{Binary, Device, Float, TensorOf, Unary};

use super::mse::{Reduction, same_shape};
use crate::graph::{Operation, Rule, VarOf};
use crate::scope::open_with;

impl<T: Float> VarOf<T> {
    /// `−t·ln p − (1 − t)·ln(1 − p)` of probabilities p and targets t in [0, 1], reduced;
    /// `dp = dy · (p − t) / (p(1 − p))`.
    ///
    /// As in `PyTorch`, the logarithms are clamped to at least −100 and the denominator to at least 1e-12, so that
    /// results are finite for p = 0 and p = 1. Prefer [`bce_with_logits`](Self::bce_with_logits), which is accurate
    /// everywhere.
    ///
    /// # Panics
    /// If the shapes differ or a probability is outside [0, 1]; on a GPU the loss is NaN in that case.
    #[track_caller]
    #[must_use]
    pub fn bce_loss(&self, target: &Self, reduction: Reduction) -> Self {
        same_shape("bce_loss", self, target);
        let _scope = open_with("bce_loss", || vec![reduction.attribute()]);
        let (p, t) = (self.value(), target.value());
        // A check on a GPU would synchronize; there the logarithms of invalid probabilities are NaN.
        if self.device() == Device::Cpu {
            let (low, high) = (p.min(&[], false).item(), p.max(&[], false).item());
            assert!(
                !(low < T::ZERO || high > T::ONE),
                "bce_loss: probabilities reach from {low} to {high}\n  rule: 0 ≤ p ≤ 1; bce_with_logits takes any number"
            );
        }
        let log = |x: TensorOf<T>| x.unary(Unary::Log).unary(Unary::Clamp(-100.0, f64::INFINITY));
        let of_one = t.binary(Binary::Mul, &log(p.clone()));
        let of_zero = t.unary(Unary::SubFrom(1.0)).binary(Binary::Mul, &log(p.unary(Unary::SubFrom(1.0))));
        let losses = of_one.binary(Binary::Add, &of_zero).unary(Unary::Neg);
        reduction.of(Self::record(losses, [self, target], BinaryCrossEntropy))
    }

    /// Binary cross-entropy of `p = σ(x)` and targets t, computed from x without forming p:
    /// `(1 − t)·x + softplus(−x)`; `dx = dy · (σ(x) − t)`. Also accurate at ±1000.
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    #[must_use]
    pub fn bce_with_logits(&self, target: &Self, reduction: Reduction) -> Self {
        same_shape("bce_with_logits", self, target);
        let _scope = open_with("bce_with_logits", || vec![reduction.attribute()]);
        reduction.of((1.0 - target) * self + (-self).softplus())
    }

    /// As [`bce_with_logits`](Self::bce_with_logits), with a weight for positive targets:
    /// `(1 − t)·x + (1 + (weight − 1)·t)·softplus(−x)`; the weight is broadcast, for example one for each class.
    ///
    /// # Panics
    /// If the shapes differ or the weight does not broadcast.
    #[track_caller]
    #[must_use]
    pub fn bce_with_logits_weighted(&self, target: &Self, weight: &TensorOf<T>, reduction: Reduction) -> Self {
        same_shape("bce_with_logits", self, target);
        let _scope = open_with("bce_with_logits", || vec![reduction.attribute()]);
        let positive = 1.0 + Self::constant(weight.unary(Unary::Add(-1.0))) * target;
        reduction.of((1.0 - target) * self + positive * (-self).softplus())
    }
}

struct BinaryCrossEntropy;

impl<T: Float> Rule<T> for BinaryCrossEntropy {
    describe! {
        name: "bce",
        formula: "y = −t · max(ln p, −100) − (1 − t) · max(ln(1 − p), −100)",
        derivative: "dp = dy · (p − t) / max(p(1 − p), 1e-12), dt = dy · (max(ln(1 − p), −100) − max(ln p, −100))",
        saved: "p, t",
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (p, t) = (op.parent(0), op.parent(1));
        let log = |x: VarOf<T>| x.log().clamp(-100.0, f64::INFINITY);
        let slope = || (p - t) / (p * (1.0 - p)).clamp(1e-12, f64::INFINITY);
        vec![needs[0].then(|| dy * slope()), needs[1].then(|| dy * (log(1.0 - p) - log(p.clone())))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var64;

    #[test]
    fn an_undecided_classifier_loses_ln_2() {
        let (x, t) = (Var64::parameter("x", [0.0, 0.0]), Var64::constant([0.0, 1.0]));
        for loss in [x.sigmoid().bce_loss(&t, Reduction::Mean), x.bce_with_logits(&t, Reduction::Mean)] {
            assert!((loss.item() - 2f64.ln()).abs() < 1e-15);
            assert_eq!(loss.backward()[&x].to_vec(), [0.25, -0.25]);
        }
    }

    #[test]
    fn extreme_logits_give_exact_losses_and_gradients() {
        let (x, t) = (Var64::parameter("x", [1000.0, 1000.0, -1000.0]), Var64::constant([0.0, 1.0, 1.0]));
        let losses = x.bce_with_logits(&t, Reduction::None);
        assert_eq!(losses.value().to_vec(), [1000.0, 0.0, 1000.0]);
        assert_eq!(losses.sum().backward()[&x].to_vec(), [1.0, 0.0, -1.0]);
        let certain = Var64::parameter("p", [0.0, 1.0]).bce_loss(&Var64::constant([1.0, 1.0]), Reduction::None);
        assert_eq!(certain.value().to_vec(), [100.0, 0.0]);
    }
}
