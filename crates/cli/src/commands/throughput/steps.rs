//! What is timed: training steps, or forward passes.

use chainrule::prelude::*;
use chainrule_distributed::DataParallel;

use crate::failure::Failure;

/// Work that can be repeated.
pub trait Run {
    /// Does it `times` times and synchronizes.
    ///
    /// # Errors
    /// If another process does not answer.
    fn run(&mut self, times: usize) -> Result<(), Failure>;
}

/// Training steps on one batch, captured as a CUDA graph on a GPU.
pub struct Steps<'a> {
    model: &'a dyn Module,
    images: &'a Var,
    labels: &'a TensorOf<i32>,
    optimizer: &'a mut dyn Optimizer,
    replay: Replay<'a>,
    losses: [TensorOf<f64>; 1],
    parallel: Option<DataParallel>,
}

impl<'a> Steps<'a> {
    pub fn new(
        model: &'a dyn Module,
        images: &'a Var,
        labels: &'a TensorOf<i32>,
        optimizer: &'a mut dyn Optimizer,
        device: Device,
    ) -> Self {
        let losses = [TensorOf::full_on(device, (), 0.0)];
        Self { model, images, labels, optimizer, replay: Replay::new(model, device), losses, parallel: None }
    }

    /// Steps of several processes or shards: the batch is this process's part of a larger one.
    pub fn in_parallel(self, parallel: Option<DataParallel>) -> Self {
        Self { parallel, ..self }
    }

    /// The sum of all losses so far.
    pub fn loss(&self) -> f64 {
        self.losses[0].item()
    }
}

impl Run for Steps<'_> {
    fn run(&mut self, times: usize) -> Result<(), Failure> {
        let model = self.model;
        for _ in 0..times {
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
                self.optimizer.step(&gradients);
                continue;
            }
            self.replay.run(&self.images.value(), self.labels, self.optimizer, &mut self.losses, |step| {
                let loss = model.forward(&Var::constant(step.inputs)).cross_entropy(step.labels);
                step.optimizer.step(&loss.backward());
                step.totals[0].add_assign(&loss.value().to_f64());
            });
        }
        self.loss();
        Ok(())
    }
}

/// Forward passes in evaluation mode, without recording.
pub struct Inference<'a> {
    model: &'a dyn Module,
    images: &'a Var,
}

impl<'a> Inference<'a> {
    pub fn new(model: &'a dyn Module, images: &'a Var) -> Self {
        model.eval();
        Self { model, images }
    }
}

impl Run for Inference<'_> {
    fn run(&mut self, times: usize) -> Result<(), Failure> {
        let outputs = (0..times).map(|_| no_grad(|| self.model.forward(self.images)));
        // A GPU runs its work in order: who reads the last result has waited for all of them.
        if let Some(last) = outputs.last() {
            last.value().to_vec();
        }
        Ok(())
    }
}
