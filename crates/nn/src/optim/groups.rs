//! Parameter groups and the step that is common to all optimizers.

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_tensor::{Device, Float, Shape, TensorOf, ranges};

/// The hyperparameters of an optimizer besides the learning rate, and what it does with them; N is the number of state
/// tensors of a parameter.
pub(super) trait Hyperparameters<const N: usize>: Copy {
    /// The names of the state tensors, in alphabetical order.
    const STATE: [&'static str; N];

    /// The hyperparameters by name; a switch that is on is 1.
    fn list(&self) -> Vec<(&'static str, f64)>;

    /// Shape and initial value of each state tensor of a parameter of this shape; `None` if a step with these
    /// hyperparameters does not keep it.
    fn initial_state(&self, parameter: Shape) -> [Option<(Shape, f64)>; N];

    /// Updates all parameters. Sets `non_finite` to 1 if a new value is not finite.
    fn apply<T: Float>(updates: Vec<(&mut TensorOf<T>, Update<'_, T, Self, N>)>, non_finite: &mut TensorOf<T>);
}

/// A parameter with its N state tensors, which are allocated at its first step.
pub(super) struct Slot<T: Float, const N: usize> {
    pub(super) parameter: VarOf<T>,
    pub(super) steps: u64,
    pub(super) state: [Option<TensorOf<T>>; N],
}

/// Parameters that share settings.
pub(super) struct Group<T: Float, H, const N: usize> {
    pub(super) lr: f64,
    /// The learning rate at construction, from which [`Groups::set_lr`] scales.
    pub(super) initial_lr: f64,
    pub(super) hyperparameters: H,
    pub(super) slots: Vec<Slot<T, N>>,
}

/// The parameter groups of an optimizer, with the code common to all optimizers.
pub(super) struct Groups<T: Float, H, const N: usize> {
    /// The optimizer's name.
    pub(super) name: &'static str,
    pub(super) groups: Vec<Group<T, H, N>>,
    /// 1 if a step made a value that is not finite, else 0; on the device of the last step's gradients.
    pub(super) non_finite: Option<TensorOf<T>>,
}

/// The update of one parameter: its gradient, settings and state.
pub(super) struct Update<'a, T: Float, H, const N: usize> {
    parameter: &'a VarOf<T>,
    pub(super) lr: f64,
    pub(super) hyperparameters: &'a H,
    pub(super) gradient: &'a TensorOf<T>,
    /// The number of this step, starting from 1.
    pub(super) step: u64,
    state: &'a mut [Option<TensorOf<T>>; N],
}

impl<'a, T: Float, H: Hyperparameters<N>, const N: usize> Update<'a, T, H, N> {
    /// The state tensors, on the device of the gradient; `None` for those that the hyperparameters do not keep.
    pub(super) fn state(self) -> [Option<&'a mut TensorOf<T>>; N] {
        let mut initial = self.hyperparameters.initial_state(self.gradient.shape()).into_iter();
        let device = self.gradient.device();
        self.state.each_mut().map(|state| Some(new_or_moved(state, initial.next()??, device)))
    }
}

/// The tensor, made with shape and value if there is none, on a device: `Module::to` moves a net's parameters, but not
/// what its optimizer keeps.
fn new_or_moved<T: Float>(
    kept: &mut Option<TensorOf<T>>,
    (shape, value): (Shape, f64),
    device: Device,
) -> &mut TensorOf<T> {
    let kept = kept.get_or_insert_with(|| TensorOf::full_on(device, shape, T::from_f64(value)));
    if kept.device() != device {
        *kept = kept.to(device);
    }
    kept
}

impl<T: Float, H: Hyperparameters<N>, const N: usize> Groups<T, H, N> {
    #[track_caller]
    pub(super) fn new(name: &'static str, parameters: Vec<VarOf<T>>, lr: f64, hyperparameters: H) -> Self {
        let mut groups = Self { name, groups: Vec::new(), non_finite: None };
        groups.push(parameters, lr, hyperparameters);
        groups
    }

    /// Adds a group with the hyperparameters of the last one.
    #[track_caller]
    pub(super) fn add(&mut self, parameters: Vec<VarOf<T>>, lr: f64) {
        let hyperparameters = *self.last();
        self.push(parameters, lr, hyperparameters);
    }

    #[track_caller]
    fn push(&mut self, parameters: Vec<VarOf<T>>, lr: f64, hyperparameters: H) {
        ranges::check(self.name, "lr", lr, ranges::NOT_NEGATIVE);
        let slot = |parameter| Slot { parameter, steps: 0, state: [const { None }; N] };
        let slots = parameters.into_iter().map(slot).collect();
        self.groups.push(Group { lr, initial_lr: lr, hyperparameters, slots });
    }

    /// The hyperparameters of the last group, which the builder methods change.
    pub(super) fn last(&mut self) -> &mut H {
        &mut self.groups.last_mut().expect("there is always a group").hyperparameters
    }

    pub(super) fn lr(&self) -> f64 {
        self.groups[0].lr
    }

    /// Multiplies the rate that each group was built with by the same factor, so that the first one is `lr`. Scaling the
    /// current rates instead would lose the ratios at a rate of 0.
    #[track_caller]
    pub(super) fn set_lr(&mut self, lr: f64) {
        ranges::check(self.name, "lr", lr, ranges::NOT_NEGATIVE);
        let first = self.groups[0].initial_lr;
        // Also exact where the quotient would overflow, or is 0/0.
        let scaled = |initial_lr: f64| if initial_lr == first { lr } else { initial_lr * (lr / first) };
        assert!(
            first > 0.0 || self.groups.iter().all(|group| group.initial_lr == 0.0),
            "{}: the first group was built with lr 0, so there is no ratio of the other rates to it\n  rule: build the first group with the lr that set_lr changes",
            self.name
        );
        let rates: Vec<f64> = self.groups.iter().map(|group| scaled(group.initial_lr)).collect();
        for (i, &rate) in rates.iter().enumerate() {
            ranges::check(self.name, &format!("lr of group {i}"), rate, ranges::NOT_NEGATIVE);
        }
        for (group, rate) in self.groups.iter_mut().zip(rates) {
            group.lr = rate;
        }
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot<T, N>> {
        self.groups.iter().flat_map(|group| &group.slots)
    }

    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot<T, N>> {
        self.groups.iter_mut().flat_map(|group| &mut group.slots)
    }

    pub(super) fn parameters(&self) -> Vec<VarOf<T>> {
        self.slots().map(|slot| slot.parameter.clone()).collect()
    }

    pub(super) fn steps(&self) -> Vec<u64> {
        self.slots().map(|slot| slot.steps).collect()
    }

    pub(super) fn visit_state(&mut self, visit: &mut dyn FnMut(&mut TensorOf<T>)) {
        self.slots_mut().flat_map(|slot| &mut slot.state).flatten().for_each(&mut *visit);
        self.non_finite.iter_mut().for_each(visit);
    }

    pub(super) fn is_finite(&self) -> bool {
        self.non_finite.as_ref().is_none_or(|flag| flag.item() == T::ZERO)
    }

    pub(super) fn count_step(&mut self) {
        for slot in self.slots_mut() {
            slot.steps += u64::from(slot.parameter.requires_grad());
        }
    }

    /// Updates all parameters that are not frozen: at once, unless a parameter is listed more than once, whose steps are then
    /// applied one after the other.
    #[track_caller]
    pub(super) fn step(&mut self, gradients: &GradientsOf<T>) {
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
        let non_finite = &mut self.non_finite;
        let mut apply_all = |updates: Vec<Update<'_, T, H, N>>| {
            let Some(first) = updates.first() else { return };
            let non_finite = new_or_moved(non_finite, (Shape::scalar(), 0.0), first.gradient.device());
            let parameters: Vec<&VarOf<T>> = updates.iter().map(|update| update.parameter).collect();
            VarOf::update_all(&parameters, |values| H::apply(values.into_iter().zip(updates).collect(), non_finite));
        };
        let mut updates: Vec<Update<'_, T, H, N>> = Vec::new();
        for Group { lr, hyperparameters, slots, .. } in &mut self.groups {
            for Slot { parameter, steps, state } in slots {
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
                updates.push(Update { parameter, lr: *lr, hyperparameters, gradient, step: *steps, state });
            }
        }
        apply_all(updates);
    }
}
