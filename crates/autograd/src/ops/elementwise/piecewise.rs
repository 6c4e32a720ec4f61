//! Activation functions that are compositions of others.

use chainrule_tensor::{Float, OrPanic, shape_rules};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::{open, open_with};

impl<T: Float> VarOf<T> {
    /// The scaled exponential linear unit, `λ·elu(x, α)` with the constants for which means of 0 and variances of 1 are stable
    /// (Klambauer, Unterthiner, Mayr, Hochreiter: "Self-normalizing neural networks", 2017).
    #[track_caller]
    #[must_use]
    pub fn selu(&self) -> Self {
        const ALPHA: f64 = 1.673_263_242_354_377_2;
        const LAMBDA: f64 = 1.050_700_987_355_480_5;
        let _scope = open("selu");
        LAMBDA * self.elu(ALPHA)
    }

    /// `x where x > 0, else α(e^(x/α) − 1)`, elu with a slope of 1 at 0 for every α (Barron: "Continuously differentiable
    /// exponential linear units", 2017), computed as `α·elu(x/α, 1)`.
    ///
    /// # Panics
    /// If α is not positive, or infinite.
    #[track_caller]
    #[must_use]
    pub fn celu(&self, alpha: f64) -> Self {
        assert!(alpha > 0.0 && alpha.is_finite(), "celu: α is {alpha}\n  rule: a finite number above 0");
        let _scope = open_with("celu", || vec![Attribute::new("alpha", alpha).symbol("α")]);
        alpha * (self / alpha).elu(1.0)
    }

    /// `max(0, min(x, 6))`. The slope is 0 at 0 and at 6, as in `PyTorch`.
    #[track_caller]
    #[must_use]
    pub fn relu6(&self) -> Self {
        let _scope = open("relu6");
        self.clamp(0.0, 6.0)
    }

    /// `max(−1, min(x, 1))`. The slope is 0 at −1 and at 1, as in `PyTorch`; other bounds by [`clamp`](Self::clamp).
    #[track_caller]
    #[must_use]
    pub fn hardtanh(&self) -> Self {
        let _scope = open("hardtanh");
        self.clamp(-1.0, 1.0)
    }

    /// `relu6(x + 3)/6`, a piecewise linear sigmoid.
    #[track_caller]
    #[must_use]
    pub fn hardsigmoid(&self) -> Self {
        let _scope = open("hardsigmoid");
        (self + 3.0).clamp(0.0, 6.0) / 6.0
    }

    /// `x·relu6(x + 3)/6` (Howard et al.: "Searching for MobileNetV3", 2019).
    #[track_caller]
    #[must_use]
    pub fn hardswish(&self) -> Self {
        let _scope = open("hardswish");
        self * ((self + 3.0).clamp(0.0, 6.0) / 6.0)
    }

    /// `ln σ(x) = −softplus(−x)`, which does not underflow.
    #[track_caller]
    #[must_use]
    pub fn logsigmoid(&self) -> Self {
        let _scope = open("logsigmoid");
        -(-self).softplus()
    }

    /// `x/(1 + |x|)`.
    #[track_caller]
    #[must_use]
    pub fn softsign(&self) -> Self {
        let _scope = open("softsign");
        self / (1.0 + self.abs())
    }

    /// The gated linear unit, `a·σ(b)`, where a and b are the halves of this variable along an axis, which counts from the end if
    /// negative (Dauphin, Fan, Auli, Grangier: "Language modeling with gated convolutional networks", 2017).
    ///
    /// # Panics
    /// If there is no such axis, or its length is odd.
    #[track_caller]
    #[must_use]
    pub fn glu(&self, axis: isize) -> Self {
        let shape = self.shape();
        let length = shape[shape_rules::axis("glu", shape, axis).or_panic()];
        assert!(
            length.is_multiple_of(2),
            "glu: axis {axis} of the shape {shape} has a length of {length}\n  rule: an even length"
        );
        let _scope = open_with("glu", || vec![Attribute::new("axis", axis)]);
        let half = length / 2;
        self.narrow(axis, 0..half) * self.narrow(axis, half..2 * half).sigmoid()
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    /// Values and gradients of `PyTorch` 2.15 at kinks and on both sides.
    #[test]
    fn kinks_are_those_of_pytorch() {
        type Case = (fn(&Var64) -> Var64, [f64; 6], [f64; 6]);
        let (sixth, third) = (1.0 / 6.0, 1.0 / 3.0);
        let cases: [Case; 5] = [
            (Var64::relu6, [0.0, 0.0, 3.0, 6.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]),
            (Var64::hardtanh, [-1.0, 0.0, 1.0, 1.0, -1.0, 1.0], [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
            (Var64::hardsigmoid, [0.0, 0.5, 1.0, 1.0, third, 2.0 * third], [0.0, sixth, 0.0, 0.0, sixth, sixth]),
            (Var64::hardswish, [0.0, 0.0, 3.0, 6.0, -third, 2.0 * third], [0.0, 0.5, 1.0, 1.0, sixth, 5.0 * sixth]),
            (Var64::softsign, [-0.75, 0.0, 0.75, 6.0 / 7.0, -0.5, 0.5], [0.0625, 1.0, 0.0625, 1.0 / 49.0, 0.25, 0.25]),
        ];
        for (f, values, slopes) in cases {
            let x = Var64::parameter("x", [-3.0, 0.0, 3.0, 6.0, -1.0, 1.0]);
            let y = f(&x);
            let found = [y.value().to_vec(), y.sum().backward()[&x].to_vec()];
            for (found, expected) in found.iter().flatten().zip(values.iter().chain(&slopes)) {
                assert!((found - expected).abs() < 1e-15, "{found} instead of {expected}");
            }
        }
    }

    #[test]
    fn exponential_units_by_hand() {
        let x = Var64::parameter("x", [-1.0, 2.0]);
        let e = (-1f64).exp();
        let y = x.celu(2.0);
        assert!((y.value().to_vec()[0] - 2.0 * (-0.5f64).exp_m1()).abs() < 1e-15);
        assert!((y.sum().backward()[&x].to_vec()[0] - (-0.5f64).exp()).abs() < 1e-15);
        let slopes = x.selu().sum().backward()[&x].to_vec();
        assert!(
            (slopes[0] - 1.758_099_340_847_376_6 * e).abs() < 1e-14
                && (slopes[1] - 1.050_700_987_355_480_5).abs() < 1e-15
        );
        // ln σ(−800) is −800, where σ itself is 0.
        assert_eq!(Var64::constant(-800.0).logsigmoid().item(), -800.0);
    }

    #[test]
    fn glu_by_hand() {
        let x = Var64::parameter("x", [[1.0, 2.0, 0.0, 0.0]]);
        let y = x.glu(-1);
        assert_eq!(y.value().to_vec(), [0.5, 1.0]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.5, 0.5, 0.25, 0.5]);
    }

    /// With α < 0 the sides of 0 would be exchanged.
    #[test]
    #[should_panic(expected = "celu: α is -1\n  rule: a finite number above 0")]
    fn celu_has_a_positive_scale() {
        let _ = Var64::constant(2.0).celu(-1.0);
    }

    #[test]
    #[should_panic(expected = "glu: axis 1 of the shape (1, 3) has a length of 3\n  rule: an even length")]
    fn an_odd_axis_has_no_halves() {
        let _ = Var64::constant([[1.0, 2.0, 3.0]]).glu(1);
    }
}
