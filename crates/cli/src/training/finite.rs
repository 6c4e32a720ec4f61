//! A run that stops being finite: which step it was, and which operation.

use chainrule::autograd::{Extent, Trace, trace_non_finite};
use chainrule::data::{Batch, Loader};
use chainrule::nn::{Snapshot, unfused};
use chainrule::prelude::*;

use super::train::loss;

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

    /// Runs the steps since this state again, one by one, up to the first that is not finite, and says what happened in it.
    /// The net and the optimizer are left at the state before that step.
    pub fn explain(&self, net: &dyn Module, optimizer: &mut dyn Optimizer, train: &Loader) -> String {
        self.snapshot.restore(net, optimizer);
        let (epoch, first) = (self.at.epoch, self.at.batch);
        for (step, batch) in (self.at.step + 1..).zip(train.epoch_from(epoch as u32, first as usize)) {
            let before = Snapshot::take(net, optimizer);
            let (loss, _) = loss(net, &batch.images, &batch.labels);
            optimizer.step(&loss.backward());
            if loss.item().is_finite() && optimizer.is_finite() {
                continue;
            }
            before.restore(net, optimizer);
            let place = format!("step {step} (epoch {}, batch {})", epoch + 1, batch.index + 1);
            return format!("{place} is not finite: {}", what_happens(net, optimizer, &batch, &before));
        }
        "a step was not finite, but it was when it was run again: this machine does not compute reliably".into()
    }
}

/// The first operation of a step that is not finite, and what the step does to the parameters, which are left as they are.
fn what_happens(net: &dyn Module, optimizer: &mut dyn Optimizer, batch: &Batch, before: &Snapshot) -> String {
    // Without fusion, each op has an output of its own; the bits are the same.
    let Trace { loss, gradients, non_finite } =
        unfused(|| trace_non_finite(|| loss(net, &batch.images, &batch.labels).0));
    before.restore(net, optimizer);
    let mut lines = match non_finite {
        Some(found) => vec![format!("loss {}", loss.item()), format!("first at {found}").replace('\n', "\n  ")],
        None => vec![format!("loss {:.4e}, and finite gradients", loss.item())],
    };
    let old: Vec<(String, Extent)> =
        net.named_parameters().into_iter().map(|(name, p)| (name, Extent::of(&p.value()))).collect();
    optimizer.step(&gradients);
    let mut changed = old.into_iter().zip(net.parameters()).filter(|(_, p)| !Extent::of(&p.value()).is_finite());
    if let Some(((name, old), parameter)) = changed.next() {
        let new = Extent::of(&parameter.value());
        let others = match changed.count() {
            0 => String::new(),
            n => format!(" and {n} other parameters"),
        };
        lines.push(format!("it would make {name}{others} not finite"));
        lines.push(format!("  {name} {old}"));
        if let Some(gradient) = gradients.get(&parameter) {
            lines.push(format!("  its gradient {}", Extent::of(gradient)));
        }
        lines.push(format!("  after the step with lr {:e}: {new}", optimizer.lr()));
    }
    before.restore(net, optimizer);
    lines.join("\n  ")
}
