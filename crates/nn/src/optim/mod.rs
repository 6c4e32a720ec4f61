//! Optimizers: update parameters from their gradients.

mod adam;
mod sgd;

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_tensor::{Float, TensorOf};

pub use adam::{Adam, AdamW};
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

    /// Sets the learning rate of the first group; the other groups keep their ratio to it.
    fn set_lr(&mut self, lr: f64);

    /// The optimizer's name, such as `sgd`.
    fn name(&self) -> &'static str;

    /// The parameters of all groups, in order.
    fn parameters(&self) -> Vec<VarOf<T>>;

    /// The state tensors by parameter index and name, such as `exp_avg`; a parameter without a step has none.
    fn state(&self) -> Vec<(usize, &'static str, TensorOf<T>)>;

    /// The number of steps of each parameter.
    fn steps(&self) -> Vec<u64>;

    /// Visits all state tensors mutably.
    fn visit_state(&mut self, visit: &mut dyn FnMut(&mut TensorOf<T>));

    /// Increments the step count of every parameter that is not frozen, after the replay of a captured step.
    fn count_step(&mut self);

    /// Restores the results of [`state`](Self::state) and [`steps`](Self::steps).
    fn restore(&mut self, state: Vec<(usize, String, TensorOf<T>)>, steps: &[u64]);
}

/// A parameter with its N state tensors, which are allocated at its first step.
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

/// The parameter groups of an optimizer, with the code common to all optimizers.
struct Groups<T: Float, S, const N: usize> {
    groups: Vec<Group<T, S, N>>,
    /// The names of the state tensors, in alphabetical order.
    names: [&'static str; N],
}

/// The update of one parameter: its gradient, settings and state.
struct Update<'a, T: Float, S, const N: usize> {
    parameter: &'a VarOf<T>,
    settings: &'a S,
    gradient: &'a TensorOf<T>,
    /// The number of this step, starting from 1.
    step: u64,
    state: &'a mut [Option<TensorOf<T>>; N],
}

impl<'a, T: Float, S, const N: usize> Update<'a, T, S, N> {
    /// The state tensors, initially zero.
    fn state(self) -> [&'a mut TensorOf<T>; N] {
        let zeros = || TensorOf::full_on(self.gradient.device(), self.gradient.shape(), T::ZERO);
        self.state.each_mut().map(|state| state.get_or_insert_with(zeros))
    }
}

impl<T: Float, S, const N: usize> Groups<T, S, N> {
    fn new(parameters: Vec<VarOf<T>>, settings: S, names: [&'static str; N]) -> Self {
        Self { groups: vec![Group::new(parameters, settings)], names }
    }

    /// The settings of the last group, which the builder methods change.
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

    fn visit_state(&mut self, visit: &mut dyn FnMut(&mut TensorOf<T>)) {
        self.groups
            .iter_mut()
            .flat_map(|group| &mut group.slots)
            .flat_map(|slot| &mut slot.state)
            .flatten()
            .for_each(visit);
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

    /// Calls `apply` with the values and updates of all parameters that are not frozen: once, unless a parameter is listed
    /// more than once, whose steps are then applied one after the other.
    #[track_caller]
    fn step(
        &mut self,
        gradients: &GradientsOf<T>,
        apply: impl for<'a> Fn(Vec<(&'a mut TensorOf<T>, Update<'a, T, S, N>)>),
    ) {
        let missing: Vec<String> = self
            .slots()
            .filter(|slot| slot.parameter.requires_grad() && gradients.get(&slot.parameter).is_none())
            .map(|slot| slot.parameter.name())
            .collect();
        assert!(
            missing.is_empty(),
            "step: no gradient for {}\n  rule: the loss depends on every parameter; freeze parameters that are not trained",
            missing.join(", ")
        );
        let apply_all = |updates: Vec<Update<'_, T, S, N>>| {
            let parameters: Vec<&VarOf<T>> = updates.iter().map(|update| update.parameter).collect();
            VarOf::update_all(&parameters, |values| apply(values.into_iter().zip(updates).collect()));
        };
        let mut updates: Vec<Update<'_, T, S, N>> = Vec::new();
        for group in &mut self.groups {
            for Slot { parameter, steps, state } in &mut group.slots {
                if !parameter.requires_grad() {
                    continue;
                }
                let Some(gradient) = gradients.get(parameter) else { continue };
                *steps += 1;
                // Parameters usually come in order of creation; then the last id is enough to exclude duplicates.
                let out_of_order = updates.last().is_some_and(|last| last.parameter.id() >= parameter.id());
                if out_of_order && updates.iter().any(|update| update.parameter.id() == parameter.id()) {
                    apply_all(std::mem::take(&mut updates));
                }
                updates.push(Update { parameter, settings: &group.settings, gradient, step: *steps, state });
            }
        }
        apply_all(updates);
    }
}

/// Scales all learning rates so that the first one is `lr`.
fn scale_lr<'a>(mut rates: impl Iterator<Item = &'a mut f64>, lr: f64) {
    let Some(first) = rates.next() else { return };
    let ratio = lr / *first;
    // If the first rate is 0 there is no ratio: all groups get `lr`.
    let scaled = |rate: f64| if ratio.is_finite() { rate * ratio } else { lr };
    for rate in rates {
        *rate = scaled(*rate);
    }
    *first = lr;
}
