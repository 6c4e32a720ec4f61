//! Stochastic gradient descent.

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_tensor::{Float, SgdSlot, SgdStep, Shape, TensorOf, ranges};

use super::groups::{Groups, Hyperparameters, Update};
use super::{GroupSettings, Optimizer, StateTensors, builders, optimizer};

/// Stochastic gradient descent, with momentum, dampening, Nesterov momentum and weight decay as in `torch.optim.SGD`
/// (Sutskever and others: "On the importance of initialization and momentum in deep learning", 2013).
///
/// `g ← g + decay·p`, `v ← momentum·v + (1 − dampening)·g` (at the first step `v ← g`), then `p ← p − lr·v`, or with
/// Nesterov `p ← p − lr·(g + momentum·v)`.
pub struct Sgd<T: Float = f32>(Groups<T, Settings, 1>);

optimizer!(Sgd);
builders!(Sgd, NAME);

const NAME: &str = "sgd";

#[derive(Clone, Copy)]
struct Settings {
    momentum: f64,
    dampening: f64,
    nesterov: bool,
    weight_decay: f64,
}

impl<T: Float> Sgd<T> {
    /// Plain gradient descent.
    ///
    /// # Panics
    /// If the learning rate is negative, infinite or NaN.
    #[track_caller]
    pub fn new(parameters: Vec<VarOf<T>>, lr: f64) -> Self {
        let settings = Settings { momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 };
        Self(Groups::new(NAME, parameters, lr, settings))
    }

    /// Sets the momentum factor of the last group.
    ///
    /// # Panics
    /// If it is not in [0, 1], or 0 with Nesterov momentum.
    #[track_caller]
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        ranges::check(NAME, "momentum", momentum, ranges::SHARE);
        self.0.last().momentum = momentum;
        self.checked()
    }

    /// Sets the dampening for momentum of the last group.
    ///
    /// # Panics
    /// If it is not in [0, 1], or not 0 with Nesterov momentum.
    #[track_caller]
    #[must_use]
    pub fn dampening(mut self, dampening: f64) -> Self {
        ranges::check(NAME, "dampening", dampening, ranges::SHARE);
        self.0.last().dampening = dampening;
        self.checked()
    }

    /// Enables Nesterov momentum for the last group. Set the momentum before.
    ///
    /// # Panics
    /// If it is enabled and the momentum is 0 or the dampening is not.
    #[track_caller]
    #[must_use]
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.0.last().nesterov = nesterov;
        self.checked()
    }

    /// Checks that Nesterov momentum has a momentum and no dampening.
    #[track_caller]
    fn checked(mut self) -> Self {
        let Settings { momentum, dampening, nesterov, .. } = *self.0.last();
        assert!(
            !nesterov || (momentum > 0.0 && dampening == 0.0),
            "{NAME}: nesterov with momentum {momentum} and dampening {dampening}\n  rule: nesterov needs momentum > 0 and dampening 0; set the momentum before nesterov"
        );
        self
    }
}

impl Hyperparameters<1> for Settings {
    const STATE: [&'static str; 1] = ["momentum_buffer"];

    fn list(&self) -> Vec<(&'static str, f64)> {
        let Self { momentum, dampening, nesterov, weight_decay } = *self;
        vec![
            ("momentum", momentum),
            ("dampening", dampening),
            ("nesterov", f64::from(u8::from(nesterov))),
            ("weight_decay", weight_decay),
        ]
    }

    fn initial_state(&self, parameter: Shape) -> [Option<(Shape, f64)>; 1] {
        [(self.momentum != 0.0).then_some((parameter, 0.0))]
    }

    fn apply<T: Float>(updates: Vec<(&mut TensorOf<T>, Update<'_, T, Self, 1>)>, non_finite: &mut TensorOf<T>) {
        TensorOf::sgd_step(
            updates.into_iter().map(|(parameter, update)| slot(parameter, update)).collect(),
            non_finite,
        );
    }
}

fn slot<'a, T: Float>(parameter: &'a mut TensorOf<T>, update: Update<'a, T, Settings, 1>) -> SgdSlot<'a, T> {
    let Settings { momentum, dampening, nesterov, weight_decay } = *update.hyperparameters;
    let step = SgdStep { lr: update.lr, momentum, dampening, nesterov, weight_decay, first: update.step == 1 };
    let gradient = update.gradient;
    let [momentum] = update.state();
    SgdSlot { parameter, gradient, momentum, step }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_descent_by_hand() {
        let p = VarOf::<f64>::parameter("p", [1.0, 2.0]);
        let mut sgd = Sgd::new(vec![p.clone()], 0.1);
        let loss = (&p * &p).sum();
        sgd.step(&loss.backward());
        assert_eq!(p.value().to_vec(), [0.8, 1.6]);
    }

    #[test]
    #[should_panic(expected = "no gradient for unused")]
    fn a_parameter_without_gradient_is_named() {
        let (p, q) = (VarOf::<f64>::parameter("p", 1.0), VarOf::<f64>::parameter("unused", 1.0));
        Sgd::new(vec![p.clone(), q], 0.1).step(&(&p * &p).backward());
    }

    #[test]
    fn a_frozen_parameter_is_unchanged_and_rates_keep_their_ratio() {
        let (p, q) = (VarOf::<f64>::parameter("p", 1.0), VarOf::<f64>::parameter("q", 1.0));
        let mut sgd = Sgd::new(vec![p.clone()], 0.1).group(vec![q.clone()], 0.2);
        sgd.set_lr(0.05);
        p.set_frozen(true);
        sgd.step(&(&p * &q).backward());
        assert_eq!((p.item(), q.item()), (1.0, 0.9));
    }

    #[test]
    fn a_parameter_listed_twice_takes_two_steps() {
        let (p, q) = (VarOf::<f64>::parameter("p", 1.0), VarOf::<f64>::parameter("q", 1.0));
        let mut sgd = Sgd::new(vec![q.clone(), p.clone(), p.clone()], 0.1).group(vec![p.clone()], 0.2);
        sgd.step(&(&p * 2.0 + &q).backward());
        assert!((p.item() - 0.2).abs() < 1e-15 && (q.item() - 0.9).abs() < 1e-15, "{p} {q}");
        assert_eq!(sgd.steps(), [1, 1, 1, 1]);
    }
}
