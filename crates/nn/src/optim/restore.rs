//! The saved state of an optimizer.

use std::collections::BTreeMap;

use chainrule_tensor::{Float, TensorOf, ranges};

use super::groups::{Groups, Hyperparameters};
use super::{GroupSettings, StateTensors};

impl<T: Float, H: Hyperparameters<N>, const N: usize> Groups<T, H, N> {
    pub(super) fn settings(&self) -> Vec<GroupSettings> {
        let settings = self.groups.iter().map(|group| GroupSettings {
            lr: group.lr,
            initial_lr: group.initial_lr,
            hyperparameters: group.hyperparameters.list().into_iter().map(|(name, x)| (name.into(), x)).collect(),
            parameters: group.slots.len(),
        });
        settings.collect()
    }

    pub(super) fn state(&self) -> Vec<(usize, &'static str, TensorOf<T>)> {
        let slots = self.slots().enumerate().flat_map(|(i, slot)| {
            let named = H::STATE.iter().zip(&slot.state);
            named.filter_map(move |(&name, value)| Some((i, name, value.clone()?)))
        });
        slots.collect()
    }

    /// See [`Optimizer::restore`](super::Optimizer::restore).
    pub(super) fn restore(
        &mut self,
        state: StateTensors<T>,
        steps: &[u64],
        groups: &[GroupSettings],
    ) -> Result<(), Vec<String>> {
        let mut differences = self.other_settings(groups);
        let parameters = self.slots().count();
        if steps.len() != parameters {
            differences.push(format!("the state is of {} parameters, this optimizer has {parameters}", steps.len()));
        }
        if !differences.is_empty() {
            return Err(differences);
        }
        let mut state: BTreeMap<(usize, String), TensorOf<T>> =
            state.into_iter().map(|(i, name, value)| ((i, name), value)).collect();
        let mut restored: Vec<[Option<TensorOf<T>>; N]> = Vec::with_capacity(parameters);
        let members =
            self.groups.iter().flat_map(|group| group.slots.iter().map(|slot| (&group.hyperparameters, slot)));
        for (i, (hyperparameters, slot)) in members.enumerate() {
            let own = slot.parameter.shape();
            let mut values = [const { None }; N];
            let kept = hyperparameters.initial_state(own).map(|kept| kept.filter(|_| steps[i] > 0));
            for ((value, name), kept) in values.iter_mut().zip(H::STATE).zip(kept) {
                let Some((shape, _)) = kept else { continue };
                match state.remove(&(i, name.to_owned())) {
                    None => differences.push(format!("missing     {}.{name} {shape}", slot.parameter.name())),
                    Some(x) if x.shape() != shape => {
                        let rule = if shape == own { "the parameter has" } else { "a step needs" };
                        differences.push(format!(
                            "mismatch    {}.{name}: saved {}, {rule} {shape}",
                            slot.parameter.name(),
                            x.shape()
                        ));
                    }
                    // Beside the parameter: a checkpoint is read on the CPU.
                    Some(x) => *value = Some(x.to(slot.parameter.device())),
                }
            }
            restored.push(values);
        }
        for (i, name) in state.into_keys() {
            let owner = self.slots().nth(i).map_or_else(|| format!("parameter {i}"), |slot| slot.parameter.name());
            differences.push(format!("unexpected  {owner}.{name}"));
        }
        if !differences.is_empty() {
            return Err(differences);
        }
        self.non_finite = None;
        for ((slot, &steps), values) in self.slots_mut().zip(steps).zip(restored) {
            (slot.steps, slot.state) = (steps, values);
        }
        for (group, saved) in self.groups.iter_mut().zip(groups) {
            (group.lr, group.initial_lr) = (saved.lr, saved.initial_lr);
        }
        Ok(())
    }

    /// What differs in the settings, apart from the learning rates, which are state.
    fn other_settings(&self, saved: &[GroupSettings]) -> Vec<String> {
        let own = self.settings();
        if saved.len() != own.len() {
            return vec![format!("parameter groups: saved {}, this optimizer has {}", saved.len(), own.len())];
        }
        let mut differences = Vec::new();
        for (i, (own, saved)) in own.iter().zip(saved).enumerate() {
            if own.parameters != saved.parameters {
                differences.push(format!(
                    "parameters of group {i}: saved {}, this optimizer has {}",
                    saved.parameters, own.parameters
                ));
            }
            for (name, value) in &own.hyperparameters {
                match saved.hyperparameters.get(name) {
                    Some(before) if before == value => {}
                    Some(before) => {
                        differences.push(format!("{name} of group {i}: saved {before}, this optimizer has {value}"));
                    }
                    None => differences.push(format!("{name} of group {i}: not saved, this optimizer has {value}")),
                }
            }
            for (name, before) in &saved.hyperparameters {
                if !own.hyperparameters.contains_key(name) {
                    differences.push(format!("{name} of group {i}: saved {before}, this optimizer has none"));
                }
            }
            for (name, rate) in [("lr", saved.lr), ("initial_lr", saved.initial_lr)] {
                if !ranges::NOT_NEGATIVE.contains(&rate) {
                    let rule = ranges::rule(name, &ranges::NOT_NEGATIVE);
                    differences.push(format!("{name} of group {i}: saved {rate}, but {rule}"));
                }
            }
        }
        differences
    }
}
