//! A run that stops being finite: which step it was, and which operation.

use chainrule::autograd::non_finite::{Extent, Trace, trace};
use chainrule::data::{Batch, Loader};
use chainrule::nn::{Snapshot, unfused};
use chainrule::prelude::*;

use super::accumulate::GradientSum;
use super::recipe::Recipe;

/// A state of the run that is finite, from which its steps can be run again.
pub struct Finite {
    snapshot: Snapshot,
    at: Progress,
}

impl Finite {
    /// Copies the state of the run.
    pub fn take(net: &dyn Module, optimizer: &dyn Optimizer, at: &Progress) -> Self {
        Self { snapshot: Snapshot::take(net, optimizer), at: at.clone() }
    }

    /// Runs the steps since this state again, one by one, up to step `until` or to the first that is not finite, and says what
    /// happened in it.
    /// The net and the optimizer are left at the state before that step.
    pub fn explain(
        &self,
        net: &dyn Module,
        recipe: &Recipe,
        optimizer: &mut dyn Optimizer,
        train: &Loader,
        until: u64,
    ) -> String {
        self.snapshot.restore(net, optimizer);
        let (epoch, first) = (self.at.epoch, self.at.batch);
        let mut batches = train.epoch_from(epoch as u32, first as usize);
        for step in self.at.step + 1..=until {
            recipe.set_lr(optimizer, step - 1, self.at.plateau.as_ref());
            let before = Snapshot::take(net, optimizer);
            let batches = recipe.accumulation().next_step(&mut batches);
            let (loss, gradients) = recipe.gradients(net, &batches);
            recipe.update(optimizer, gradients);
            if loss.is_finite() && optimizer.is_finite() {
                continue;
            }
            before.restore(net, optimizer);
            let numbers: Vec<usize> = batches.iter().map(|batch| batch.index + 1).collect();
            let of_epoch = match &numbers[..] {
                [first, .., last] => format!("batches {first} to {last}"),
                one => format!("batch {}", one[0]),
            };
            let place = format!("step {step} (epoch {}, {of_epoch})", epoch + 1);
            return format!("{place} is not finite: {}", what_happens(net, recipe, optimizer, &batches, &before));
        }
        "a step was not finite, but it was when it was run again: this machine does not compute reliably".into()
    }
}

/// The first operation of a step that is not finite, and what the step does to the parameters, which are left as they are.
fn what_happens(
    net: &dyn Module,
    recipe: &Recipe,
    optimizer: &mut dyn Optimizer,
    batches: &[Batch],
    before: &Snapshot,
) -> String {
    // Without fusion, each op has an output of its own; the bits are the same.
    let (mut mean, mut sum, mut first) = (0.0, GradientSum::default(), None);
    for batch in batches {
        let Trace { loss, gradients, non_finite } = unfused(|| trace(|| recipe.loss(net, batch).0));
        let share = recipe.accumulation().share(batch.index);
        mean += loss.item() * share as f32;
        sum.add(gradients, share);
        let of = if batches.len() > 1 { format!("in batch {}, ", batch.index + 1) } else { String::new() };
        first = first.or_else(|| non_finite.map(|found| format!("{of}first at {found}").replace('\n', "\n  ")));
    }
    before.restore(net, optimizer);
    let gradients = sum.take();
    let mut lines = match first {
        Some(found) => vec![format!("loss {mean}"), found],
        None => vec![format!("loss {mean:.4e}, and finite gradients")],
    };
    let parameters = net.named_parameters();
    let extents = |p: &Var| (Extent::of(&p.value()), gradients.get(p).map(Extent::of));
    let before_step: Vec<_> = parameters.iter().map(|(_, parameter)| extents(parameter)).collect();
    recipe.update(optimizer, gradients);
    let after: Vec<Extent> = parameters.iter().map(|(_, parameter)| Extent::of(&parameter.value())).collect();
    let mut changed = (0..parameters.len()).filter(|&i| !after[i].is_finite());
    if let Some(i) = changed.next() {
        let name = &parameters[i].0;
        let others = match changed.count() {
            0 => String::new(),
            n => format!(" and {n} other parameters"),
        };
        let (value, gradient) = &before_step[i];
        lines.push(format!("it would make {name}{others} not finite"));
        lines.push(format!("  {name} {value}"));
        lines.extend(gradient.as_ref().map(|gradient| format!("  its gradient {gradient}")));
        lines.push(format!("  after the step with lr {:e}: {}", optimizer.lr(), after[i]));
    } else if let Some((i, state, _)) = optimizer.state().into_iter().find(|(_, _, x)| !Extent::of(x).is_finite()) {
        // A gradient whose square overflows: the parameter would never change again.
        let gradient = before_step[i].1.as_ref().map_or(String::new(), |gradient| format!("; its gradient {gradient}"));
        lines.push(format!("it would make {state} of {} not finite{gradient}", parameters[i].0));
    }
    before.restore(net, optimizer);
    lines.join("\n  ")
}
