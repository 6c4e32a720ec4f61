//! The steps that are timed.

use chainrule::prelude::*;
use chainrule_distributed::DataParallel;

use crate::failure::Failure;

/// Training steps on one batch, captured as a CUDA graph on a GPU.
pub struct Steps<'a> {
    model: &'a dyn Module,
    images: &'a Var,
    labels: &'a TensorOf<i32>,
    replay: Replay<'a>,
    losses: [TensorOf<f64>; 1],
    parallel: Option<DataParallel>,
}

impl<'a> Steps<'a> {
    pub fn new(model: &'a dyn Module, images: &'a Var, labels: &'a TensorOf<i32>, device: Device) -> Self {
        let losses = [TensorOf::full_on(device, (), 0.0)];
        Self { model, images, labels, replay: Replay::new(model, device), losses, parallel: None }
    }

    /// Steps of several processes or shards: the batch is this process's part of a larger one.
    pub fn in_parallel(self, parallel: Option<DataParallel>) -> Self {
        Self { parallel, ..self }
    }

    /// Runs `steps` steps and synchronizes; returns the sum of all losses so far.
    ///
    /// # Errors
    /// If another process does not answer.
    pub fn run(&mut self, optimizer: &mut dyn Optimizer, steps: usize) -> Result<f64, Failure> {
        let model = self.model;
        for _ in 0..steps {
            if let Some(parallel) = &self.parallel {
                let own = self.labels.shape()[0];
                let (communicator, losses) = (parallel.communicator(), &mut self.losses);
                let start = communicator.rank() * own;
                let gradients = parallel.gradients(model, own * communicator.size(), |_, samples| {
                    let samples = samples.start - start..samples.end - start;
                    let images = Var::constant(self.images.value().narrow(0, samples.clone()));
                    let loss = model.forward(&images).cross_entropy(&self.labels.narrow(0, samples));
                    losses[0].add_assign(&loss.value().to_f64());
                    loss
                })?;
                optimizer.step(&gradients);
                continue;
            }
            self.replay.run(&self.images.value(), self.labels, optimizer, &mut self.losses, |step| {
                let loss = model.forward(&Var::constant(step.inputs)).cross_entropy(step.labels);
                step.optimizer.step(&loss.backward());
                step.totals[0].add_assign(&loss.value().to_f64());
            });
        }
        Ok(self.losses[0].item())
    }
}
