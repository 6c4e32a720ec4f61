//! One step of training, and the sums that steps add to.

use chainrule::data::Batch;
use chainrule::nn::Step;
use chainrule::prelude::*;

use super::recipe::Recipe;
use super::state::Sums;

/// The sums of the losses and of the correctly classified images or pixels, on the device of the net: no step synchronizes to
/// report its loss.
pub struct Totals([TensorOf<f64>; 2]);

impl Totals {
    pub fn new(device: Device) -> Self {
        Self([(); 2].map(|()| TensorOf::full_on(device, (), 0.0)))
    }

    /// Starts from the sums of a partly completed epoch.
    pub fn begin(&mut self, sums: &Sums) {
        self.0[0].fill(sums.loss);
        self.0[1].fill(sums.correct as f64);
    }

    pub fn read(&self, sums: &mut Sums) {
        (sums.loss, sums.correct) = (self.0[0].item(), self.0[1].item() as u64);
    }
}

/// One step of training: forward, backward, update.
pub fn step(
    net: &dyn Module,
    batch: &Batch,
    recipe: &Recipe,
    replay: &mut Replay<'_>,
    optimizer: &mut dyn Optimizer,
    totals: &mut Totals,
) {
    let run = |step: Step<'_>| {
        let (loss, logits) = recipe.loss_of(net, step.inputs, step.labels, batch.targets.as_ref());
        recipe.update(step.optimizer, loss.backward());
        step.totals[0].add_assign(&loss.value().to_f64());
        step.totals[1].add_assign(&logits.hits(step.labels));
    };
    let (inputs, labels, totals) = (&batch.images, &batch.labels, &mut totals.0[..]);
    if batch.targets.is_some() {
        // A captured step has no place for targets.
        run(Step { inputs, labels, optimizer, totals });
    } else {
        replay.run(inputs, labels, optimizer, totals, run);
    }
}
