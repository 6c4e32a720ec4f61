//! Optimizers: how a parameter changes by its gradient.

mod adam;
mod sgd;

use std::collections::BTreeMap;

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_tensor::{Float, TensorOf};

pub use adam::{Adam, AdamW};
pub use sgd::Sgd;

/// An optimizer of parameters in groups, each with settings of its own.
pub trait Optimizer<T: Float = f32> {
    /// Changes every parameter by its gradient, in place.
    ///
    /// # Panics
    /// If a parameter that is not frozen has no gradient: with the names of all such.
    fn step(&mut self, gradients: &GradientsOf<T>);

    /// The learning rate of the first group.
    fn lr(&self) -> f64;

    /// Sets the learning rate of the first group; the others' keep their ratios to it.
    fn set_lr(&mut self, lr: f64);

    /// The optimizer's name, such as `sgd`.
    fn name(&self) -> &'static str;

    /// The parameters of all groups, in order.
    fn parameters(&self) -> Vec<VarOf<T>>;

    /// What is remembered of each parameter, by the parameter's place and the value's name, such as `exp_avg`; a
    /// parameter that has made no step has none.
    fn state(&self) -> Vec<(usize, &'static str, TensorOf<T>)>;

    /// How many steps each parameter has made.
    fn steps(&self) -> Vec<u64>;

    /// Puts back what [`state`](Self::state) and [`steps`](Self::steps) gave.
    fn restore(&mut self, state: Vec<(usize, String, TensorOf<T>)>, steps: &[u64]);
}

/// One parameter with what is remembered of it.
struct Slot<T: Float> {
    parameter: VarOf<T>,
    steps: u64,
    state: BTreeMap<&'static str, TensorOf<T>>,
}

/// Parameters that share settings.
struct Group<T: Float, S> {
    settings: S,
    slots: Vec<Slot<T>>,
}

impl<T: Float, S> Group<T, S> {
    fn new(parameters: Vec<VarOf<T>>, settings: S) -> Self {
        let slot = |parameter| Slot { parameter, steps: 0, state: BTreeMap::new() };
        Self { settings, slots: parameters.into_iter().map(slot).collect() }
    }
}

/// The groups of an optimizer, with what all optimizers do alike.
struct Groups<T: Float, S>(Vec<Group<T, S>>);

impl<T: Float, S> Groups<T, S> {
    fn slots(&self) -> impl Iterator<Item = &Slot<T>> {
        self.0.iter().flat_map(|group| &group.slots)
    }

    fn parameters(&self) -> Vec<VarOf<T>> {
        self.slots().map(|slot| slot.parameter.clone()).collect()
    }

    fn state(&self) -> Vec<(usize, &'static str, TensorOf<T>)> {
        let of = |(i, slot): (usize, &Slot<T>)| {
            slot.state.iter().map(|(&name, value)| (i, name, value.clone())).collect::<Vec<_>>()
        };
        self.slots().enumerate().flat_map(of).collect()
    }

    fn steps(&self) -> Vec<u64> {
        self.slots().map(|slot| slot.steps).collect()
    }

    fn restore(&mut self, state: Vec<(usize, String, TensorOf<T>)>, steps: &[u64], names: &[&'static str]) {
        let mut slots: Vec<&mut Slot<T>> = self.0.iter_mut().flat_map(|group| &mut group.slots).collect();
        for (slot, &steps) in slots.iter_mut().zip(steps) {
            slot.steps = steps;
            slot.state.clear();
        }
        for (i, name, value) in state {
            if let Some(&name) = names.iter().find(|&&known| known == name) {
                slots[i].state.insert(name, value);
            }
        }
    }

    /// Calls `change` for each parameter that is not frozen, with its group's settings and its gradient.
    #[track_caller]
    fn step(&mut self, gradients: &GradientsOf<T>, mut change: impl FnMut(&S, &mut Slot<T>, &TensorOf<T>)) {
        let missing: Vec<String> = self
            .slots()
            .filter(|slot| slot.parameter.requires_grad() && gradients.get(&slot.parameter).is_none())
            .map(|slot| slot.parameter.name())
            .collect();
        assert!(
            missing.is_empty(),
            "step: no gradient for {}\n  rule: the loss depends on every parameter; freeze those that are not to be trained",
            missing.join(", ")
        );
        for group in &mut self.0 {
            for slot in &mut group.slots {
                if !slot.parameter.requires_grad() {
                    continue;
                }
                if let Some(gradient) = gradients.get(&slot.parameter) {
                    slot.steps += 1;
                    change(&group.settings, slot, gradient);
                }
            }
        }
    }
}

/// Scales all groups' learning rates so that the first one's is `lr`.
fn scale_lr<'a>(mut rates: impl Iterator<Item = &'a mut f64>, lr: f64) {
    let Some(first) = rates.next() else { return };
    let ratio = lr / *first;
    // A rate of 0 has no ratio to anything: then all groups get the same.
    let scaled = |rate: f64| if ratio.is_finite() { rate * ratio } else { lr };
    for rate in rates {
        *rate = scaled(*rate);
    }
    *first = lr;
}
