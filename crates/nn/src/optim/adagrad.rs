//! Adagrad.

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_tensor::{Binary, Float, Shape, TensorOf, Unary, ranges};

use super::composed::{Descent, count, decayed, descend};
use super::groups::{Groups, Hyperparameters, Update};
use super::{GroupSettings, Optimizer, StateTensors, builders, optimizer};

/// Adagrad (Duchi, Hazan, Singer: "Adaptive subgradient methods for online learning and stochastic optimization", 2011), as
/// `torch.optim.Adagrad`; weight decay is added to the gradient.
///
/// `s ← s + g²`, `p ← p − lr / (1 + (t − 1)·decay) · g / (√s + ε)` at step t, counted from 1.
///
/// A step is several passes over each parameter, and on a GPU several kernels: more than those of [`Sgd`](super::Sgd) and
/// [`Adam`](super::Adam).
pub struct Adagrad<T: Float = f32>(Groups<T, Settings, 2>);

optimizer!(Adagrad);
builders!(Adagrad, NAME, eps);

const NAME: &str = "adagrad";

#[derive(Clone, Copy)]
struct Settings {
    lr_decay: f64,
    weight_decay: f64,
    initial_accumulator_value: f64,
    eps: f64,
}

impl<T: Float> Adagrad<T> {
    /// With ε = 1e-10, no decay of the learning rate and sums that begin at 0. PyTorch's default learning rate is 0.01.
    ///
    /// # Panics
    /// If the learning rate is negative, infinite or NaN.
    #[track_caller]
    pub fn new(parameters: Vec<VarOf<T>>, lr: f64) -> Self {
        let settings = Settings { lr_decay: 0.0, weight_decay: 0.0, initial_accumulator_value: 0.0, eps: 1e-10 };
        Self(Groups::new(NAME, parameters, lr, settings))
    }

    /// Sets the decay of the learning rate of the last group, which comes beside that of a schedule.
    ///
    /// # Panics
    /// If it is negative, infinite or NaN.
    #[track_caller]
    #[must_use]
    pub fn lr_decay(mut self, lr_decay: f64) -> Self {
        ranges::check(NAME, "lr_decay", lr_decay, ranges::NOT_NEGATIVE);
        self.0.last().lr_decay = lr_decay;
        self
    }

    /// Sets the number at which the sums of squares of the last group begin.
    ///
    /// # Panics
    /// If it is negative, infinite or NaN.
    #[track_caller]
    #[must_use]
    pub fn initial_accumulator_value(mut self, value: f64) -> Self {
        ranges::check(NAME, "initial_accumulator_value", value, ranges::NOT_NEGATIVE);
        self.0.last().initial_accumulator_value = value;
        self
    }
}

impl Hyperparameters<2> for Settings {
    const STATE: [&'static str; 2] = ["step", "sum"];

    fn list(&self) -> Vec<(&'static str, f64)> {
        let Self { lr_decay, weight_decay, initial_accumulator_value, eps } = *self;
        vec![
            ("lr_decay", lr_decay),
            ("weight_decay", weight_decay),
            ("initial_accumulator_value", initial_accumulator_value),
            ("eps", eps),
        ]
    }

    fn initial_state(&self, parameter: Shape) -> [Option<(Shape, f64)>; 2] {
        let step = (self.lr_decay != 0.0).then_some((Shape::scalar(), 0.0));
        [step, Some((parameter, self.initial_accumulator_value))]
    }

    fn apply<T: Float>(updates: Vec<(&mut TensorOf<T>, Update<'_, T, Self, 2>)>, non_finite: &mut TensorOf<T>) {
        for (parameter, update) in updates {
            let (Self { lr_decay, weight_decay, eps, .. }, lr) = (*update.hyperparameters, update.lr);
            let gradient = decayed(update.gradient, weight_decay, parameter);
            let [step, sum] = update.state();
            let sum = sum.expect("it is always kept");
            sum.add_assign(&gradient.unary(Unary::Square));
            let mut root = sum.unary(Unary::Sqrt).unary(Unary::Add(eps));
            if let Some(step) = step {
                let slower = count(step).unary(Unary::Add(-1.0)).unary(Unary::Mul(lr_decay)).unary(Unary::Add(1.0));
                root = root.binary(Binary::Mul, &slower.cast());
            }
            let direction = &gradient.binary(Binary::Div, &root);
            descend(parameter, Descent { direction, square: sum, lr, decay: 0.0, momentum: None }, non_finite);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_by_hand() {
        let p = VarOf::<f64>::parameter("p", [1.0, -2.0]);
        let mut adagrad = Adagrad::new(vec![p.clone()], 0.5).eps(0.0).lr_decay(1.0);
        let gradients = || (&p * VarOf::constant([3.0, -5.0])).sum().backward();
        adagrad.step(&gradients());
        assert_eq!(p.value().to_vec(), [0.5, -1.5]);
        // The sum has doubled, and the rate is half.
        adagrad.step(&gradients());
        let step = 0.25 / 2f64.sqrt();
        assert!(p.value().to_vec().iter().zip([0.5 - step, -1.5 + step]).all(|(a, b)| (a - b).abs() < 1e-15), "{p}");
    }
}
