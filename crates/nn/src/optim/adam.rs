//! Adam and `AdamW`.

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_tensor::{AdamSlot, AdamStep, Float, Shape, TensorOf, ranges};

use super::groups::{Groups, Hyperparameters, Update};
use super::{GroupSettings, Optimizer, StateTensors, builders, optimizer};

#[derive(Clone, Copy)]
struct Settings {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    decoupled: bool,
}

impl Hyperparameters<2> for Settings {
    const STATE: [&'static str; 2] = ["exp_avg", "exp_avg_sq"];

    fn list(&self) -> Vec<(&'static str, f64)> {
        let Self { beta1, beta2, eps, weight_decay, decoupled: _ } = *self;
        vec![("beta1", beta1), ("beta2", beta2), ("eps", eps), ("weight_decay", weight_decay)]
    }

    fn initial_state(&self, parameter: Shape) -> [Option<(Shape, f64)>; 2] {
        [Some((parameter, 0.0)); 2]
    }

    fn apply<T: Float>(updates: Vec<(&mut TensorOf<T>, Update<'_, T, Self, 2>)>, non_finite: &mut TensorOf<T>) {
        TensorOf::adam_step(
            updates.into_iter().map(|(parameter, update)| slot(parameter, update)).collect(),
            non_finite,
        );
    }
}

fn slot<'a, T: Float>(parameter: &'a mut TensorOf<T>, update: Update<'a, T, Settings, 2>) -> AdamSlot<'a, T> {
    let Settings { beta1, beta2, eps, weight_decay, decoupled } = *update.hyperparameters;
    let step = AdamStep { lr: update.lr, beta1, beta2, eps, weight_decay, decoupled, step: update.step };
    let gradient = update.gradient;
    let [mean, square] = update.state().map(|state| state.expect("Adam keeps both"));
    AdamSlot { parameter, gradient, mean, square, step }
}

macro_rules! adam {
    ($(#[$doc:meta])* $name:ident, $text:literal, $decay:literal, $decoupled:literal) => {
        $(#[$doc])*
        pub struct $name<T: Float = f32>(Groups<T, Settings, 2>);

        impl<T: Float> $name<T> {
            /// With β = (0.9, 0.999) and ε = 1e-8.
            ///
            /// # Panics
            /// If the learning rate is negative, infinite or NaN.
            #[track_caller]
            pub fn new(parameters: Vec<VarOf<T>>, lr: f64) -> Self {
                let settings =
                    Settings { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: $decay, decoupled: $decoupled };
                Self(Groups::new($text, parameters, lr, settings))
            }

            /// Sets the decay rates of the running mean and the running mean of squares, of the last group.
            ///
            /// # Panics
            /// If one is not in [0, 1).
            #[track_caller]
            #[must_use]
            pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
                ranges::check($text, "beta1", beta1, ranges::BELOW_ONE);
                ranges::check($text, "beta2", beta2, ranges::BELOW_ONE);
                (self.0.last().beta1, self.0.last().beta2) = (beta1, beta2);
                self
            }
        }

        builders!($name, $text, eps);
        optimizer!($name);
    };
}

adam!(
    /// Adam (Kingma, Ba: "Adam: a method for stochastic optimization", 2015), as `torch.optim.Adam`; weight decay is added
    /// to the gradient.
    ///
    /// `m ← β₁m + (1 − β₁)g`, `v ← β₂v + (1 − β₂)g²`, `p ← p − lr · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)`.
    Adam,
    "adam",
    0.0,
    false
);

adam!(
    /// Adam with decoupled weight decay, 0.01 by default (Loshchilov, Hutter: "Decoupled weight decay regularization",
    /// 2019), as `torch.optim.AdamW`: `p ← p·(1 − lr·decay)` before Adam's step.
    AdamW,
    "adamw",
    0.01,
    true
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_learning_rate_in_the_gradients_direction() {
        let p = VarOf::<f64>::parameter("p", [1.0, -2.0]);
        let mut adam = Adam::new(vec![p.clone()], 0.1).eps(0.0);
        adam.step(&(&p * &p).sum().backward());
        assert!(p.value().to_vec().iter().zip([0.9, -1.9]).all(|(a, b)| (a - b).abs() < 1e-15), "{p}");
    }
}
