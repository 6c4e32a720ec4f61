//! Stochastic gradient descent.

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_tensor::{Float, SgdStep, TensorOf};

use super::{Group, Groups, Optimizer, scale_lr};

const MOMENTUM: &str = "momentum_buffer";

/// Stochastic gradient descent, with momentum, dampening, Nesterov's look-ahead and weight decay as in `torch.optim.SGD`
/// (Sutskever and others: "On the importance of initialization and momentum in deep learning", 2013).
///
/// `g ← g + decay·p`, `v ← momentum·v + (1 − dampening)·g` (at the first step `v ← g`), then `p ← p − lr·v`, or with
/// Nesterov `p ← p − lr·(g + momentum·v)`.
pub struct Sgd<T: Float = f32>(Groups<T, Settings>);

#[derive(Clone, Copy)]
struct Settings {
    lr: f64,
    momentum: f64,
    dampening: f64,
    nesterov: bool,
    weight_decay: f64,
}

impl<T: Float> Sgd<T> {
    /// Plain gradient descent.
    pub fn new(parameters: Vec<VarOf<T>>, lr: f64) -> Self {
        let settings = Settings { lr, momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 };
        Self(Groups(vec![Group::new(parameters, settings)]))
    }

    /// A further group; the settings that follow are its own, those before are copied from the group before.
    #[must_use]
    pub fn group(mut self, parameters: Vec<VarOf<T>>, lr: f64) -> Self {
        let settings = Settings { lr, ..*self.last() };
        self.0.0.push(Group::new(parameters, settings));
        self
    }

    fn last(&mut self) -> &mut Settings {
        &mut self.0.0.last_mut().expect("there is always a group").settings
    }

    /// The share of the running direction that is kept (of the last group).
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.last().momentum = momentum;
        self
    }

    /// The share of the gradient that does not enter the running direction (of the last group).
    #[must_use]
    pub fn dampening(mut self, dampening: f64) -> Self {
        self.last().dampening = dampening;
        self
    }

    /// Whether to look ahead along the running direction (of the last group).
    #[must_use]
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.last().nesterov = nesterov;
        self
    }

    /// The factor of a parameter that is added to its gradient (of the last group).
    #[must_use]
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.last().weight_decay = weight_decay;
        self
    }
}

impl<T: Float> Optimizer<T> for Sgd<T> {
    #[track_caller]
    fn step(&mut self, gradients: &GradientsOf<T>) {
        self.0.step(gradients, |s, slot, gradient| {
            let step = SgdStep {
                lr: s.lr,
                momentum: s.momentum,
                dampening: s.dampening,
                nesterov: s.nesterov,
                weight_decay: s.weight_decay,
                first: slot.steps == 1,
            };
            let velocity = (s.momentum != 0.0)
                .then(|| slot.state.entry(MOMENTUM).or_insert_with(|| TensorOf::zeros(gradient.shape())));
            slot.parameter.update(|p| p.sgd_step(gradient, velocity, step));
        });
    }

    fn lr(&self) -> f64 {
        self.0.0[0].settings.lr
    }

    fn set_lr(&mut self, lr: f64) {
        scale_lr(self.0.0.iter_mut().map(|group| &mut group.settings.lr), lr);
    }

    fn name(&self) -> &'static str {
        "sgd"
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

    fn restore(&mut self, state: Vec<(usize, String, TensorOf<T>)>, steps: &[u64]) {
        self.0.restore(state, steps, &[MOMENTUM]);
    }
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
    fn a_frozen_parameter_stays_and_rates_keep_their_ratio() {
        let (p, q) = (VarOf::<f64>::parameter("p", 1.0), VarOf::<f64>::parameter("q", 1.0));
        let mut sgd = Sgd::new(vec![p.clone()], 0.1).group(vec![q.clone()], 0.2);
        sgd.set_lr(0.05);
        p.set_frozen(true);
        sgd.step(&(&p * &q).backward());
        assert_eq!((p.item(), q.item()), (1.0, 0.9));
    }
}
