//! Optimizers: update parameters from their gradients.

mod adagrad;
mod adam;
mod composed;
mod groups;
mod nadam;
mod restore;
mod rms_prop;
mod sgd;

use std::collections::BTreeMap;

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_tensor::{Float, TensorOf};
use serde::{Deserialize, Serialize};

pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use nadam::NAdam;
pub use rms_prop::RmsProp;
pub use sgd::Sgd;

/// An optimizer over parameter groups, each with its own settings.
pub trait Optimizer<T: Float = f32> {
    /// Updates every parameter in place from its gradient.
    ///
    /// # Panics
    /// If parameters that are not frozen have no gradient; the message lists their names.
    fn step(&mut self, gradients: &GradientsOf<T>);

    /// The learning rate of the first group.
    fn lr(&self) -> f64;

    /// Sets the learning rate of the first group. The other groups keep the ratio to it that they were built with, also
    /// after a rate of 0.
    ///
    /// # Panics
    /// If a rate is negative, infinite or NaN, or if the first group was built with the rate 0 and another one was not, so
    /// that there is no ratio.
    fn set_lr(&mut self, lr: f64);

    /// The optimizer's name, such as `sgd`.
    fn name(&self) -> &'static str;

    /// The parameters of all groups, in order.
    fn parameters(&self) -> Vec<VarOf<T>>;

    /// The settings of each group.
    fn groups(&self) -> Vec<GroupSettings>;

    /// The state tensors by parameter index and name, such as `exp_avg`; a parameter without a step has none.
    fn state(&self) -> Vec<(usize, &'static str, TensorOf<T>)>;

    /// The number of steps of each parameter.
    fn steps(&self) -> Vec<u64>;

    /// Whether all new values were finite in all steps since this optimizer was created or restored. A step with a gradient
    /// that is infinite or NaN, or whose update overflows, makes values that are not. Synchronizes with a GPU.
    fn is_finite(&self) -> bool;

    /// Visits all tensors that a step changes, except the parameters, mutably.
    fn visit_state(&mut self, visit: &mut dyn FnMut(&mut TensorOf<T>));

    /// Increments the step count of every parameter that is not frozen, after the replay of a captured step.
    fn count_step(&mut self);

    /// Restores the results of [`state`](Self::state) and [`steps`](Self::steps), and the learning rates of
    /// [`groups`](Self::groups).
    ///
    /// # Errors
    /// If anything does not fit: state that is missing, left over or of another shape than its parameter, other groups, or
    /// hyperparameters that differ, one in each line. Nothing is changed then.
    fn restore(&mut self, state: StateTensors<T>, steps: &[u64], groups: &[GroupSettings]) -> Result<(), Vec<String>>;
}

/// State tensors by parameter index and name.
pub type StateTensors<T> = Vec<(usize, String, TensorOf<T>)>;

/// The settings of a parameter group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSettings {
    /// The learning rate.
    pub lr: f64,
    /// The learning rate that the group was built with. Its ratio to that of the first group is kept by
    /// [`Optimizer::set_lr`].
    pub initial_lr: f64,
    /// The other hyperparameters by name, such as `momentum`; a switch that is on is 1.
    pub hyperparameters: BTreeMap<String, f64>,
    /// The number of parameters.
    pub parameters: usize,
}

/// Implements [`Optimizer`] for a struct whose only field is a `Groups`.
macro_rules! optimizer {
    ($name:ident) => {
        impl<T: Float> Optimizer<T> for $name<T> {
            #[track_caller]
            fn step(&mut self, gradients: &GradientsOf<T>) {
                self.0.step(gradients);
            }

            fn lr(&self) -> f64 {
                self.0.lr()
            }

            #[track_caller]
            fn set_lr(&mut self, lr: f64) {
                self.0.set_lr(lr);
            }

            fn name(&self) -> &'static str {
                self.0.name
            }

            fn parameters(&self) -> Vec<VarOf<T>> {
                self.0.parameters()
            }

            fn groups(&self) -> Vec<GroupSettings> {
                self.0.settings()
            }

            fn state(&self) -> Vec<(usize, &'static str, TensorOf<T>)> {
                self.0.state()
            }

            fn steps(&self) -> Vec<u64> {
                self.0.steps()
            }

            fn is_finite(&self) -> bool {
                self.0.is_finite()
            }

            fn visit_state(&mut self, visit: &mut dyn FnMut(&mut TensorOf<T>)) {
                self.0.visit_state(visit);
            }

            fn count_step(&mut self) {
                self.0.count_step();
            }

            fn restore(
                &mut self,
                state: StateTensors<T>,
                steps: &[u64],
                groups: &[GroupSettings],
            ) -> Result<(), Vec<String>> {
                self.0.restore(state, steps, groups)
            }
        }
    };
}

/// The builder methods that all optimizers have, `group` and `weight_decay`, and further ones by name.
macro_rules! builders {
    ($name:ident, $text:expr, eps) => {
        builders!($name, $text);

        impl<T: Float> $name<T> {
            /// Sets the constant that is added to the denominator, of the last group.
            ///
            /// # Panics
            /// If it is negative, infinite or NaN.
            #[track_caller]
            #[must_use]
            pub fn eps(mut self, eps: f64) -> Self {
                ranges::check($text, "eps", eps, ranges::NOT_NEGATIVE);
                self.0.last().eps = eps;
                self
            }
        }
    };
    ($name:ident, $text:expr) => {
        impl<T: Float> $name<T> {
            /// Adds a parameter group. It copies the settings of the previous group; later builder calls change only the new one.
            ///
            /// # Panics
            /// If the learning rate is negative, infinite or NaN.
            #[track_caller]
            #[must_use]
            pub fn group(mut self, parameters: Vec<VarOf<T>>, lr: f64) -> Self {
                self.0.add(parameters, lr);
                self
            }

            /// Sets the weight decay of the last group.
            ///
            /// # Panics
            /// If it is negative, infinite or NaN.
            #[track_caller]
            #[must_use]
            pub fn weight_decay(mut self, weight_decay: f64) -> Self {
                ranges::check($text, "weight_decay", weight_decay, ranges::NOT_NEGATIVE);
                self.0.last().weight_decay = weight_decay;
                self
            }
        }
    };
}

use {builders, optimizer};

#[cfg(test)]
mod tests {
    use chainrule_autograd::VarOf;

    use super::*;

    /// One step on the gradient `slope`, and whether all values are still finite.
    fn step(optimizer: impl FnOnce(Vec<VarOf<f32>>) -> Box<dyn Optimizer>, slope: f32) -> bool {
        let p = VarOf::<f32>::parameter("p", [1.0, 2.0]);
        let mut optimizer = optimizer(vec![p.clone()]);
        optimizer.step(&(p * VarOf::constant([1.0, slope])).sum().backward());
        optimizer.is_finite()
    }

    #[test]
    fn optimizers_tell_of_steps_that_are_not_finite() {
        for slope in [f32::NAN, f32::INFINITY] {
            assert!(!step(|p| Box::new(Sgd::new(p, 0.1)), slope));
            assert!(!step(|p| Box::new(Sgd::new(p, 0.0).momentum(0.9)), slope));
            assert!(!step(|p| Box::new(Adam::new(p, 0.1)), slope));
            assert!(!step(|p| Box::new(AdamW::new(p, 0.0)), slope));
            assert!(!step(|p| Box::new(RmsProp::new(p, 0.1)), slope));
            assert!(!step(|p| Box::new(Adagrad::new(p, 0.0)), slope));
            assert!(!step(|p| Box::new(NAdam::new(p, 0.1)), slope));
        }
        assert!(step(|p| Box::new(Sgd::new(p, 0.1)), 1e30));
        type New = fn(Vec<VarOf<f32>>) -> Box<dyn Optimizer>;
        let by_squares: [New; 4] = [
            |p| Box::new(Adam::new(p, 0.1)),
            |p| Box::new(RmsProp::new(p, 0.1)),
            |p| Box::new(Adagrad::new(p, 0.1)),
            |p| Box::new(NAdam::new(p, 0.1)),
        ];
        for build in by_squares {
            assert!(step(build, 1e15));
            assert!(!step(build, 1e30), "its square is not finite");
        }
    }

    #[test]
    fn a_restored_optimizer_is_finite_again() {
        let p = VarOf::<f32>::parameter("p", 1.0);
        let mut sgd = Sgd::new(vec![p.clone()], f64::from(f32::MAX));
        sgd.step(&(&p * 10.0).backward());
        assert!(!sgd.is_finite());
        sgd.restore(Vec::new(), &[0], &sgd.groups()).unwrap();
        assert!(sgd.is_finite());
    }
}
