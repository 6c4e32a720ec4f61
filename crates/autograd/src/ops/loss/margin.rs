//! Losses with a margin, for targets 1 and −1, composed of other ops.

use chainrule_tensor::{Compare, Float, TensorOf, ranges};

use super::mse::{Reduction, same_shape};
use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::open_with;

impl<T: Float> VarOf<T> {
    /// x where the target is 1, and `max(0, margin − x)` where it is −1, reduced: for a distance x of two samples
    /// (`torch.nn.HingeEmbeddingLoss`, whose margin is 1 by default). No gradient flows to the target.
    ///
    /// # Panics
    /// If the shapes differ, or the margin is infinite or NaN.
    #[track_caller]
    #[must_use]
    pub fn hinge_embedding_loss(&self, target: &Self, reduction: Reduction, margin: f64) -> Self {
        const NAME: &str = "hinge_embedding_loss";
        same_shape(NAME, self, target);
        let _scope = open(NAME, reduction, margin);
        reduction.of(by_target(target, self, &(margin - self).relu()))
    }

    /// `max(0, margin − t·(x₁ − x₂))`, reduced: the first of two scores is to be larger by the margin if t = 1, the second if
    /// t = −1 (`torch.nn.MarginRankingLoss`, whose margin is 0 by default).
    ///
    /// # Panics
    /// If the shapes differ, or the margin is infinite or NaN.
    #[track_caller]
    #[must_use]
    pub fn margin_ranking_loss(&self, other: &Self, target: &Self, reduction: Reduction, margin: f64) -> Self {
        const NAME: &str = "margin_ranking_loss";
        same_shape(NAME, self, other);
        same_shape(NAME, self, target);
        let _scope = open(NAME, reduction, margin);
        reduction.of((margin - target * (self - other)).relu())
    }

    /// `1 − cos(x₁, x₂)` where the target is 1, and `max(0, cos(x₁, x₂) − margin)` where it is −1, reduced: x₁, x₂ (N,D),
    /// targets (N) (`torch.nn.CosineEmbeddingLoss`, whose margin is 0 by default). As there, 1e-12 is added to the squares of
    /// both lengths. No gradient flows to the target.
    ///
    /// # Panics
    /// If the shapes do not fit, or the margin is infinite or NaN.
    #[track_caller]
    #[must_use]
    pub fn cosine_embedding_loss(&self, other: &Self, target: &Self, reduction: Reduction, margin: f64) -> Self {
        const NAME: &str = "cosine_embedding_loss";
        same_shape(NAME, self, other);
        let (x, t) = (self.shape(), target.shape());
        assert!(
            x.rank() == 2 && t.rank() == 1 && x[0] == t[0],
            "{NAME}: the shapes do not fit\n  input  = {x}\n  target = {t}\n  rule: inputs (N,D), target (N)"
        );
        let _scope = open(NAME, reduction, margin);
        let dot = |a: &Self, b: &Self| (a * b).sum_axes(&[1], false);
        let squares = (dot(self, self) + 1e-12) * (dot(other, other) + 1e-12);
        let cosine = dot(self, other) / squares.sqrt();
        reduction.of(by_target(target, &(1.0 - &cosine), &(cosine - margin).relu()))
    }

    /// The cosine of the angle of two vectors along an axis: `Σ x₁·x₂ / (max(‖x₁‖, ε)·max(‖x₂‖, ε))`
    /// (`torch.nn.functional.cosine_similarity`, whose axis is 1 and whose ε is 1e-8 by default). A vector shorter than ε has
    /// the gradient of a division by ε. The shapes are broadcast.
    ///
    /// # Panics
    /// If the shapes do not broadcast, the axis is out of range, or ε is not positive and finite.
    #[track_caller]
    #[must_use]
    pub fn cosine_similarity(&self, other: &Self, axis: isize, eps: f64) -> Self {
        ranges::check("cosine_similarity", "eps", eps, ranges::POSITIVE);
        let _scope = open_with("cosine_similarity", || {
            vec![Attribute::new("axis", axis), Attribute::new("eps", eps).symbol("ε")]
        });
        // The root of the larger square: the slope of √0 is ∞.
        let length = |x: &Self| x.square().sum_axes(&[axis], true).clamp(eps * eps, f64::INFINITY).sqrt();
        ((self / length(self)) * (other / length(other))).sum_axes(&[axis], false)
    }
}

#[track_caller]
fn open(name: &'static str, reduction: Reduction, margin: f64) -> impl Drop {
    ranges::check(name, "margin", margin, ranges::FINITE);
    open_with(name, || vec![reduction.attribute(), Attribute::new("margin", margin)])
}

/// The first loss where the target is 1, the second where it is −1, else 0.
fn by_target<T: Float>(target: &VarOf<T>, positive: &VarOf<T>, negative: &VarOf<T>) -> VarOf<T> {
    let is = |number: f64| target.value().compare(Compare::Equal, &TensorOf::scalar(T::from_f64(number)));
    let zero = VarOf::constant(TensorOf::scalar(T::ZERO));
    positive.select(&is(1.0), &negative.select(&is(-1.0), &zero))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var64;

    /// PyTorch has these gradients, also where a loss reaches 0.
    #[test]
    fn margins_by_hand() {
        let (x, t) = (Var64::parameter("x", [1.0, 0.5, 2.0, 3.0]), Var64::constant([-1.0, -1.0, -1.0, 1.0]));
        let losses = x.hinge_embedding_loss(&t, Reduction::None, 1.0);
        assert_eq!(losses.value().to_vec(), [0.0, 0.5, 0.0, 3.0]);
        assert_eq!(losses.sum().backward()[&x].to_vec(), [0.0, -1.0, 0.0, 1.0]);
        let (x, y) = (Var64::parameter("x", [1.0, 1.0, 0.0]), Var64::constant([0.5, 2.0, 3.0]));
        let losses = x.margin_ranking_loss(&y, &Var64::constant([1.0, 1.0, -1.0]), Reduction::None, 0.5);
        assert_eq!(losses.value().to_vec(), [0.0, 1.5, 0.0]);
        assert_eq!(losses.sum().backward()[&x].to_vec(), [0.0, -1.0, 0.0]);
    }

    #[test]
    fn cosines_by_hand() {
        let (x, y) = (Var64::parameter("x", [[3.0, 4.0], [0.0, 0.0]]), Var64::constant([[4.0, 3.0], [1.0, 0.0]]));
        let cosine = x.cosine_similarity(&y, 1, 1e-2);
        assert!((cosine.value().to_vec()[0] - 0.96).abs() < 1e-15);
        assert_eq!(cosine.narrow(0, 1..2).sum().backward()[&x].to_vec()[2..], [100.0, 0.0]);
        let losses = x.cosine_embedding_loss(&y, &Var64::constant([-1.0, 1.0]), Reduction::None, 0.5);
        assert!((losses.value().to_vec()[0] - 0.46).abs() < 1e-12 && losses.value().to_vec()[1] == 1.0);
    }

    #[test]
    #[should_panic(expected = "margin_ranking_loss: margin is NaN\n  rule: −∞ < margin < ∞")]
    fn the_margin_is_a_number() {
        let x = Var64::constant([1.0]);
        let _ = x.margin_ranking_loss(&x, &x, Reduction::Mean, f64::NAN);
    }

    #[test]
    #[should_panic(expected = "cosine_embedding_loss: the shapes do not fit\n  input  = (1, 2)\n  target = (1, 1)")]
    fn there_is_a_target_for_each_pair() {
        let x = Var64::constant([[1.0, 2.0]]);
        let _ = x.cosine_embedding_loss(&x, &Var64::constant([[1.0]]), Reduction::Mean, 0.0);
    }
}
