//! Adam and `AdamW`.

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_tensor::{AdamSlot, AdamStep, Float, TensorOf};

use super::{Group, Groups, Optimizer, Update, scale_lr};

const MEAN: &str = "exp_avg";
const SQUARES: &str = "exp_avg_sq";

#[derive(Clone, Copy)]
struct Settings {
    lr: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
}

impl<T: Float> Groups<T, Settings, 2> {
    fn adam(parameters: Vec<VarOf<T>>, lr: f64, weight_decay: f64) -> Self {
        let settings = Settings { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay };
        Self::new(parameters, settings, [MEAN, SQUARES])
    }

    #[track_caller]
    fn adam_step(&mut self, gradients: &GradientsOf<T>, decoupled: bool) {
        self.step(gradients, |updates| {
            TensorOf::adam_step(updates.into_iter().map(|(p, update)| slot(p, update, decoupled)).collect());
        });
    }
}

fn slot<'a, T: Float>(
    parameter: &'a mut TensorOf<T>,
    update: Update<'a, T, Settings, 2>,
    decoupled: bool,
) -> AdamSlot<'a, T> {
    let Settings { lr, beta1, beta2, eps, weight_decay } = *update.settings;
    let step = AdamStep { lr, beta1, beta2, eps, weight_decay, decoupled, step: update.step };
    let gradient = update.gradient;
    let [mean, square] = update.state();
    AdamSlot { parameter, gradient, mean, square, step }
}

macro_rules! adam {
    ($(#[$doc:meta])* $name:ident, $text:literal, $decay:literal, $decoupled:literal) => {
        $(#[$doc])*
        pub struct $name<T: Float = f32>(Groups<T, Settings, 2>);

        impl<T: Float> $name<T> {
            /// With β = (0.9, 0.999) and ε = 1e-8.
            pub fn new(parameters: Vec<VarOf<T>>, lr: f64) -> Self {
                Self(Groups::adam(parameters, lr, $decay))
            }

            /// Adds a parameter group. It copies the settings of the previous group; later builder calls change only the new one.
            #[must_use]
            pub fn group(mut self, parameters: Vec<VarOf<T>>, lr: f64) -> Self {
                let settings = Settings { lr, ..*self.0.last() };
                self.0.groups.push(Group::new(parameters, settings));
                self
            }

            /// Sets the decay rates of the running mean and the running mean of squares, of the last group.
            #[must_use]
            pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
                (self.0.last().beta1, self.0.last().beta2) = (beta1, beta2);
                self
            }

            /// Sets the constant that is added to the denominator, of the last group.
            #[must_use]
            pub fn eps(mut self, eps: f64) -> Self {
                self.0.last().eps = eps;
                self
            }

            /// Sets the weight decay of the last group.
            #[must_use]
            pub fn weight_decay(mut self, weight_decay: f64) -> Self {
                self.0.last().weight_decay = weight_decay;
                self
            }
        }

        impl<T: Float> Optimizer<T> for $name<T> {
            #[track_caller]
            fn step(&mut self, gradients: &GradientsOf<T>) {
                self.0.adam_step(gradients, $decoupled);
            }

            fn lr(&self) -> f64 {
                self.0.groups[0].settings.lr
            }

            fn set_lr(&mut self, lr: f64) {
                scale_lr(self.0.groups.iter_mut().map(|group| &mut group.settings.lr), lr);
            }

            fn name(&self) -> &'static str {
                $text
            }

            fn parameters(&self) -> Vec<VarOf<T>> {
                self.0.parameters()
            }

            fn state(&self) -> Vec<(usize, &'static str, TensorOf<T>)> {
                self.0.state()
            }

            fn steps(&self) -> Vec<u64> {
                self.0.steps()
            }

            fn visit_state(&mut self, visit: &mut dyn FnMut(&mut TensorOf<T>)) {
                self.0.visit_state(visit);
            }

            fn count_step(&mut self) {
                self.0.count_step();
            }

            fn restore(&mut self, state: Vec<(usize, String, TensorOf<T>)>, steps: &[u64]) {
                self.0.restore(state, steps);
            }
        }
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
