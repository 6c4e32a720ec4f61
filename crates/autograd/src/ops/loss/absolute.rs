//! Losses that grow with the absolute error: l1, Huber and smooth l1, composed of other ops.

use chainrule_tensor::{Float, ranges};

use super::mse::{Reduction, same_shape};
use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::open_with;

impl<T: Float> VarOf<T> {
    /// The absolute error `|x − t|`, reduced; `dx = sign(x − t) · dy`, 0 where they are equal, divided by n for the mean.
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    #[must_use]
    pub fn l1_loss(&self, target: &Self, reduction: Reduction) -> Self {
        same_shape("l1_loss", self, target);
        let _scope = open_with("l1_loss", || vec![reduction.attribute()]);
        reduction.of((self - target).abs())
    }

    /// The Huber loss of `d = x − t`, reduced: `d²/2` where |d| ≤ δ, else `δ(|d| − δ/2)`; `dx = max(−δ, min(d, δ)) · dy`,
    /// divided by n for the mean (Huber: "Robust estimation of a location parameter", 1964; `torch.nn.HuberLoss`, whose δ
    /// is 1 by default).
    ///
    /// # Panics
    /// If the shapes differ, or δ is not positive and finite.
    #[track_caller]
    #[must_use]
    pub fn huber_loss(&self, target: &Self, reduction: Reduction, delta: f64) -> Self {
        same_shape("huber_loss", self, target);
        ranges::check("huber_loss", "delta", delta, ranges::POSITIVE);
        let _scope =
            open_with("huber_loss", || vec![reduction.attribute(), Attribute::new("delta", delta).symbol("δ")]);
        reduction.of(huber(&(self - target), delta))
    }

    /// The Huber loss with δ = β, divided by β, reduced: `d²/(2β)` where |d| ≤ β, else `|d| − β/2` (Girshick: "Fast R-CNN",
    /// 2015; `torch.nn.SmoothL1Loss`, whose β is 1 by default). For β = 0 the absolute error.
    ///
    /// # Panics
    /// If the shapes differ, or β is negative, infinite or NaN.
    #[track_caller]
    #[must_use]
    pub fn smooth_l1_loss(&self, target: &Self, reduction: Reduction, beta: f64) -> Self {
        same_shape("smooth_l1_loss", self, target);
        ranges::check("smooth_l1_loss", "beta", beta, ranges::NOT_NEGATIVE);
        let _scope =
            open_with("smooth_l1_loss", || vec![reduction.attribute(), Attribute::new("beta", beta).symbol("β")]);
        let d = self - target;
        reduction.of(if beta == 0.0 { d.abs() } else { huber(&d, beta) / beta })
    }
}

/// `c·(d − c/2)` with `c = max(−δ, min(d, δ))`: the slope is c on both sides of δ, and at δ.
fn huber<T: Float>(d: &VarOf<T>, delta: f64) -> VarOf<T> {
    let c = d.clamp(-delta, delta);
    &c * (d - 0.5 * &c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var64;

    fn at<F: Fn(&Var64, &Var64) -> Var64>(x: &[f64], loss: F) -> [Vec<f64>; 2] {
        let x = Var64::parameter("x", x.to_vec());
        let y = loss(&x, &Var64::constant(x.value().unary(chainrule_tensor::Unary::Mul(0.0))));
        [y.value().to_vec(), y.sum().backward()[&x].to_vec()]
    }

    #[test]
    fn by_hand() {
        let x = [0.0, 1.0, -2.0, 5.0];
        assert_eq!(at(&x, |x, t| x.l1_loss(t, Reduction::None)), [[0.0, 1.0, 2.0, 5.0], [0.0, 1.0, -1.0, 1.0]]);
        assert_eq!(at(&x, |x, t| x.huber_loss(t, Reduction::None, 2.0)), [[0.0, 0.5, 2.0, 8.0], [0.0, 1.0, -2.0, 2.0]]);
        assert_eq!(
            at(&x, |x, t| x.smooth_l1_loss(t, Reduction::None, 2.0)),
            [[0.0, 0.25, 1.0, 4.0], [0.0, 0.5, -1.0, 1.0]]
        );
        assert_eq!(at(&x, |x, t| x.smooth_l1_loss(t, Reduction::None, 0.0))[0], [0.0, 1.0, 2.0, 5.0]);
    }

    /// PyTorch has the same gradients there.
    #[test]
    fn an_infinite_error_has_a_finite_gradient() {
        let x = Var64::parameter("x", [f64::INFINITY, f64::NEG_INFINITY]);
        let loss = x.huber_loss(&Var64::constant([0.0, 0.0]), Reduction::None, 0.5);
        assert_eq!(loss.value().to_vec(), [f64::INFINITY; 2]);
        assert_eq!(loss.sum().backward()[&x].to_vec(), [0.5, -0.5]);
    }

    #[test]
    #[should_panic(expected = "huber_loss: delta is 0\n  rule: 0 < delta < ∞")]
    fn delta_is_positive() {
        let x = Var64::constant([1.0]);
        let _ = x.huber_loss(&x, Reduction::Mean, 0.0);
    }
}
