//! `RMSprop`.

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_tensor::{Binary, Float, Shape, TensorOf, Unary, ranges};

use super::composed::{Descent, average, decayed, descend};
use super::groups::{Groups, Hyperparameters, Update};
use super::{GroupSettings, Optimizer, StateTensors, builders, optimizer};

/// `RMSprop` (Hinton, Srivastava, Swersky: "Neural networks for machine learning", lecture 6e, 2012), as
/// `torch.optim.RMSprop`; weight decay is added to the gradient.
///
/// `s ← αs + (1 − α)g²`, `d = g / (√s + ε)`, then `p ← p − lr·d`, or with momentum `v ← momentum·v + d` and
/// `p ← p − lr·v`. Centered (Graves: "Generating sequences with recurrent neural networks", 2013), `m ← αm + (1 − α)g` and
/// the root is that of `s − m²`, of 0 where rounding makes it negative.
///
/// A step is several passes over each parameter, and on a GPU several kernels: more than those of [`Sgd`](super::Sgd) and
/// [`Adam`](super::Adam).
pub struct RmsProp<T: Float = f32>(Groups<T, Settings, 3>);

optimizer!(RmsProp);
builders!(RmsProp, NAME, eps);

const NAME: &str = "rmsprop";

#[derive(Clone, Copy)]
struct Settings {
    alpha: f64,
    eps: f64,
    weight_decay: f64,
    momentum: f64,
    centered: bool,
}

impl<T: Float> RmsProp<T> {
    /// With α = 0.99 and ε = 1e-8, neither centered nor with momentum. PyTorch's default learning rate is 0.01.
    ///
    /// # Panics
    /// If the learning rate is negative, infinite or NaN.
    #[track_caller]
    pub fn new(parameters: Vec<VarOf<T>>, lr: f64) -> Self {
        let settings = Settings { alpha: 0.99, eps: 1e-8, weight_decay: 0.0, momentum: 0.0, centered: false };
        Self(Groups::new(NAME, parameters, lr, settings))
    }

    /// Sets the decay rate of the running mean of squares of the last group.
    ///
    /// # Panics
    /// If it is not in [0, 1].
    #[track_caller]
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        ranges::check(NAME, "alpha", alpha, ranges::SHARE);
        self.0.last().alpha = alpha;
        self
    }

    /// Sets the momentum factor of the last group.
    ///
    /// # Panics
    /// If it is not in [0, 1].
    #[track_caller]
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        ranges::check(NAME, "momentum", momentum, ranges::SHARE);
        self.0.last().momentum = momentum;
        self
    }

    /// Whether the last group divides by the standard deviation of its gradients, instead of the root of their mean square.
    #[must_use]
    pub fn centered(mut self, centered: bool) -> Self {
        self.0.last().centered = centered;
        self
    }
}

impl Hyperparameters<3> for Settings {
    const STATE: [&'static str; 3] = ["grad_avg", "momentum_buffer", "square_avg"];

    fn list(&self) -> Vec<(&'static str, f64)> {
        let Self { alpha, eps, weight_decay, momentum, centered } = *self;
        let centered = f64::from(u8::from(centered));
        vec![
            ("alpha", alpha),
            ("eps", eps),
            ("weight_decay", weight_decay),
            ("momentum", momentum),
            ("centered", centered),
        ]
    }

    fn initial_state(&self, parameter: Shape) -> [Option<(Shape, f64)>; 3] {
        [self.centered, self.momentum != 0.0, true].map(|kept| kept.then_some((parameter, 0.0)))
    }

    fn apply<T: Float>(updates: Vec<(&mut TensorOf<T>, Update<'_, T, Self, 3>)>, non_finite: &mut TensorOf<T>) {
        for (parameter, update) in updates {
            let (Self { alpha, eps, weight_decay, momentum, .. }, lr) = (*update.hyperparameters, update.lr);
            let gradient = decayed(update.gradient, weight_decay, parameter);
            let [mean, buffer, square] = update.state();
            let square = square.expect("it is always kept");
            average(square, alpha, &gradient.unary(Unary::Square));
            let root = match mean {
                None => square.unary(Unary::Sqrt),
                Some(mean) => {
                    average(mean, alpha, &gradient);
                    let variance = square.binary(Binary::Sub, &mean.unary(Unary::Square));
                    variance.unary(Unary::Clamp(0.0, f64::INFINITY)).unary(Unary::Sqrt)
                }
            };
            let direction = &gradient.binary(Binary::Div, &root.unary(Unary::Add(eps)));
            let momentum = buffer.map(|buffer| (momentum, buffer));
            descend(parameter, Descent { direction, square, lr, decay: 0.0, momentum }, non_finite);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_by_hand() {
        let p = VarOf::<f64>::parameter("p", [1.0, -2.0]);
        let mut rms_prop = RmsProp::new(vec![p.clone()], 0.1).alpha(0.75).eps(0.0);
        // g = 2p and √s = |g|/2, so d = ±2.
        rms_prop.step(&(&p * &p).sum().backward());
        assert_eq!(p.value().to_vec(), [0.8, -1.8]);
    }

    /// Of equal gradients, s − m² is 0 up to rounding.
    #[test]
    fn no_variance_is_negative() {
        let p = VarOf::<f32>::parameter("p", [0.3, 0.7, 1.1, 1.9]);
        let mut rms_prop = RmsProp::new(vec![p.clone()], 1e-9).alpha(0.5).centered(true);
        for _ in 0..200 {
            rms_prop.step(&(&p * VarOf::constant([0.1, 0.3, 0.7, 1.3])).sum().backward());
        }
        assert!(rms_prop.is_finite(), "{p}");
    }
}
