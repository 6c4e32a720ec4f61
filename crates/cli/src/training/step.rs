//! One step of training, and the sums that steps add to.

use chainrule::data::Batch;
use chainrule::nn::Step;
use chainrule::prelude::*;

use super::accumulate::GradientSum;
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

/// One step of training, or the part of it that a batch is: forward, backward and, after the last batch of a step, update.
/// `sum` has the gradients of the batches of the step before this one.
pub fn step(
    net: &dyn Module,
    batch: &Batch,
    recipe: &Recipe,
    replay: &mut Replay<'_>,
    optimizer: &mut dyn Optimizer,
    (totals, sum): (&mut Totals, &mut GradientSum),
) {
    let accumulation = recipe.accumulation();
    let share = accumulation.share(batch.index);
    let mut run = |step: Step<'_>| {
        let (loss, logits) = recipe.loss_of(net, step.inputs, step.labels, batch.targets.as_ref());
        sum.add(loss.backward(), share);
        if accumulation.ends(batch.index) {
            recipe.update(step.optimizer, sum.take());
        }
        let loss = loss.value().to_f64();
        step.totals[0].add_assign(&if share == 1.0 { loss } else { loss.unary(Unary::Mul(share)) });
        step.totals[1].add_assign(&logits.hits(step.labels));
    };
    let (inputs, labels, totals) = (&batch.images, &batch.labels, &mut totals.0[..]);
    if batch.targets.is_some() || accumulation.of_a_step() > 1 {
        // A captured step has no place for targets, and is one batch and one update.
        run(Step { inputs, labels, optimizer, totals });
    } else {
        replay.run(inputs, labels, optimizer, totals, run);
    }
}
