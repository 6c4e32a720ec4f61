//! Stochastic gradient descent.

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_tensor::{Float, SgdSlot, SgdStep, TensorOf};

use super::{Group, Groups, Optimizer, Update, scale_lr};

const MOMENTUM: &str = "momentum_buffer";

/// Stochastic gradient descent, with momentum, dampening, Nesterov momentum and weight decay as in `torch.optim.SGD`
/// (Sutskever and others: "On the importance of initialization and momentum in deep learning", 2013).
///
/// `g ← g + decay·p`, `v ← momentum·v + (1 − dampening)·g` (at the first step `v ← g`), then `p ← p − lr·v`, or with
/// Nesterov `p ← p − lr·(g + momentum·v)`.
pub struct Sgd<T: Float = f32>(Groups<T, Settings, 1>);

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
        Self(Groups::new(parameters, settings, [MOMENTUM]))
    }

    /// Adds a parameter group. It copies the settings of the previous group; later builder calls change only the new one.
    #[must_use]
    pub fn group(mut self, parameters: Vec<VarOf<T>>, lr: f64) -> Self {
        let settings = Settings { lr, ..*self.0.last() };
        self.0.groups.push(Group::new(parameters, settings));
        self
    }

    /// Sets the momentum factor of the last group.
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.0.last().momentum = momentum;
        self
    }

    /// Sets the dampening for momentum of the last group.
    #[must_use]
    pub fn dampening(mut self, dampening: f64) -> Self {
        self.0.last().dampening = dampening;
        self
    }

    /// Enables Nesterov momentum for the last group.
    #[must_use]
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.0.last().nesterov = nesterov;
        self
    }

    /// Sets the weight decay (L2 penalty) of the last group.
    #[must_use]
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.0.last().weight_decay = weight_decay;
        self
    }
}

fn slot<'a, T: Float>(parameter: &'a mut TensorOf<T>, update: Update<'a, T, Settings, 1>) -> SgdSlot<'a, T> {
    let Settings { lr, momentum, dampening, nesterov, weight_decay } = *update.settings;
    let step = SgdStep { lr, momentum, dampening, nesterov, weight_decay, first: update.step == 1 };
    let gradient = update.gradient;
    let velocity = || {
        let [velocity] = update.state();
        velocity
    };
    SgdSlot { parameter, gradient, momentum: (momentum != 0.0).then(velocity), step }
}

impl<T: Float> Optimizer<T> for Sgd<T> {
    #[track_caller]
    fn step(&mut self, gradients: &GradientsOf<T>) {
        self.0.step(gradients, |updates| {
            TensorOf::sgd_step(updates.into_iter().map(|(p, update)| slot(p, update)).collect());
        });
    }

    fn lr(&self) -> f64 {
        self.0.groups[0].settings.lr
    }

    fn set_lr(&mut self, lr: f64) {
        scale_lr(self.0.groups.iter_mut().map(|group| &mut group.settings.lr), lr);
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
