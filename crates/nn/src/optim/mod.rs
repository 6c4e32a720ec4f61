//! Optimizers: how a parameter changes by its gradient.

mod adam;
mod sgd;

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

    /// Shows everything that is remembered, to be changed in place.
    fn visit_state(&mut self, see: &mut dyn FnMut(&mut TensorOf<T>));

    /// Counts a step of every parameter that is not frozen, which was made by other means: by the replay of a recorded one.
    fn count_step(&mut self);

    /// Puts back what [`state`](Self::state) and [`steps`](Self::steps) gave.
    fn restore(&mut self, state: Vec<(usize, String, TensorOf<T>)>, steps: &[u64]);
}

/// One parameter with the N tensors that are remembered of it, which are there from its first step on.
struct Slot<T: Float, const N: usize> {
    parameter: VarOf<T>,
    steps: u64,
    state: [Option<TensorOf<T>>; N],
}

/// Parameters that share settings.
struct Group<T: Float, S, const N: usize> {
    settings: S,
    slots: Vec<Slot<T, N>>,
}

impl<T: Float, S, const N: usize> Group<T, S, N> {
    fn new(parameters: Vec<VarOf<T>>, settings: S) -> Self {
        let slot = |parameter| Slot { parameter, steps: 0, state: [const { None }; N] };
        Self { settings, slots: parameters.into_iter().map(slot).collect() }
    }
}

/// The groups of an optimizer, with what all optimizers do alike.
struct Groups<T: Float, S, const N: usize> {
    groups: Vec<Group<T, S, N>>,
    /// The names of what is remembered, in alphabetical order.
    names: [&'static str; N],
}

/// A parameter whose turn it is.
struct Turn<'a, T: Float, S, const N: usize> {
    parameter: &'a VarOf<T>,
    settings: &'a S,
    gradient: &'a TensorOf<T>,
    /// The number of this step, from 1.
    step: u64,
    state: &'a mut [Option<TensorOf<T>>; N],
}

impl<'a, T: Float, S, const N: usize> Turn<'a, T, S, N> {
    /// What is remembered; zeros at first.
    fn state(self) -> [&'a mut TensorOf<T>; N] {
        let zeros = || TensorOf::full_on(self.gradient.device(), self.gradient.shape(), T::ZERO);
        self.state.each_mut().map(|state| state.get_or_insert_with(zeros))
    }
}

impl<T: Float, S, const N: usize> Groups<T, S, N> {
    fn new(parameters: Vec<VarOf<T>>, settings: S, names: [&'static str; N]) -> Self {
        Self { groups: vec![Group::new(parameters, settings)], names }
    }

    /// The settings of the last group, to which those that follow apply.
    fn last(&mut self) -> &mut S {
        &mut self.groups.last_mut().expect("there is always a group").settings
    }

    fn slots(&self) -> impl Iterator<Item = &Slot<T, N>> {
        self.groups.iter().flat_map(|group| &group.slots)
    }

    fn parameters(&self) -> Vec<VarOf<T>> {
        self.slots().map(|slot| slot.parameter.clone()).collect()
    }

    fn state(&self) -> Vec<(usize, &'static str, TensorOf<T>)> {
        let of = |(i, slot)| {
            let slot: &Slot<T, N> = slot;
            let named = self.names.iter().zip(&slot.state);
            named.filter_map(move |(&name, value)| Some((i, name, value.clone()?)))
        };
        self.slots().enumerate().flat_map(of).collect()
    }

    fn steps(&self) -> Vec<u64> {
        self.slots().map(|slot| slot.steps).collect()
    }

    fn visit_state(&mut self, see: &mut dyn FnMut(&mut TensorOf<T>)) {
        self.groups
            .iter_mut()
            .flat_map(|group| &mut group.slots)
            .flat_map(|slot| &mut slot.state)
            .flatten()
            .for_each(see);
    }

    fn count_step(&mut self) {
        for slot in self.groups.iter_mut().flat_map(|group| &mut group.slots) {
            slot.steps += u64::from(slot.parameter.requires_grad());
        }
    }

    fn restore(&mut self, state: Vec<(usize, String, TensorOf<T>)>, steps: &[u64]) {
        let mut slots: Vec<&mut Slot<T, N>> = self.groups.iter_mut().flat_map(|group| &mut group.slots).collect();
        for (slot, &steps) in slots.iter_mut().zip(steps) {
            slot.steps = steps;
            slot.state = [const { None }; N];
        }
        for (i, name, value) in state {
            if let Some(k) = self.names.iter().position(|&known| known == name) {
                slots[i].state[k] = Some(value);
            }
        }
    }

    /// Calls `change` with all parameters that are not frozen, their values beside: once, unless a parameter is in the
    /// list more than once, which then makes its steps one after the other.
    #[track_caller]
    fn step(
        &mut self,
        gradients: &GradientsOf<T>,
        change: impl for<'a> Fn(Vec<(&'a mut TensorOf<T>, Turn<'a, T, S, N>)>),
    ) {
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
        let take = |turns: Vec<Turn<'_, T, S, N>>| {
            let parameters: Vec<&VarOf<T>> = turns.iter().map(|turn| turn.parameter).collect();
            VarOf::update_all(&parameters, |values| change(values.into_iter().zip(turns).collect()));
        };
        let mut turns: Vec<Turn<'_, T, S, N>> = Vec::new();
        for group in &mut self.groups {
            for Slot { parameter, steps, state } in &mut group.slots {
                if !parameter.requires_grad() {
                    continue;
                }
                let Some(gradient) = gradients.get(parameter) else { continue };
                *steps += 1;
                // Parameters mostly come in the order of their creation, and then none comes twice.
                let older = turns.last().is_some_and(|last| last.parameter.id() >= parameter.id());
                if older && turns.iter().any(|turn| turn.parameter.id() == parameter.id()) {
                    take(std::mem::take(&mut turns));
                }
                turns.push(Turn { parameter, settings: &group.settings, gradient, step: *steps, state });
            }
        }
        take(turns);
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
