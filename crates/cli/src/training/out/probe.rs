//! Measurements of a net between two steps of its training, which leave no trace in it.

use std::cell::RefCell;
use std::rc::Rc;

use chainrule::autograd::map_records;
use chainrule::data::Batch;
use chainrule::prelude::*;
use chainrule::tensor::Binary;

use super::outputs::Outputs;
use super::records::{Filters, LayerProbe, Probe};

/// Images of the fixed batch. A probe then takes less time than a step on 64 images.
const IMAGES: usize = 32;
/// Steps on as many images as the fixed batch has, to one probe, which takes about as long as four of them: it is not fused.
const STEPS_OF_A_PROBE: u64 = 128;
/// Probes of a long run, of a short one, and the steps of a short run that are measured anyway.
const MOST: u64 = 80;
const LEAST: u64 = 10;
/// The weights of the first convolution that a probe keeps.
const FILTERS: usize = 32;
const FILTER_WEIGHTS: usize = 2048;

/// Measures a net now and then during a run.
pub struct Prober {
    batch: Batch,
    every: u64,
    steps: u64,
    /// The parameters of each layer, in the order of the net.
    layers: Vec<(String, Vec<Var>)>,
    /// A probe that waits for its step to be done, with the parameters before it.
    begun: Option<(Probe, Vec<Vec<Tensor>>)>,
}

impl Prober {
    /// For a run of `steps` steps; `batch` is one of its training batches, of which the first images are used.
    pub fn new(net: &dyn Module, batch: &Batch, steps: u64) -> Self {
        let size = batch.images.shape()[0];
        let images = size.min(IMAGES);
        let every = (STEPS_OF_A_PROBE * images as u64).div_ceil(size as u64).max(steps.div_ceil(MOST));
        let first = |x: &Tensor| x.narrow(0, 0..images).contiguous();
        let batch = Batch {
            images: first(&batch.images),
            labels: batch.labels.narrow(0, 0..images).contiguous(),
            targets: batch.targets.as_ref().map(first),
            index: batch.index,
        };
        Self { batch, every: every.min(steps / LEAST).max(1), steps, layers: layers(net), begun: None }
    }

    /// Whether the net is measured after this number of steps: at even distances, at the start also after 1, 2, 4, 8 … steps,
    /// since most changes there, and at the end.
    pub fn is_due(&self, step: u64) -> bool {
        step.is_multiple_of(self.every) || (step < self.every && step.is_power_of_two()) || step == self.steps
    }

    /// Measures the net, which is in training mode. `forward` gives the loss and the logits of a batch.
    pub fn begin(&mut self, net: &dyn Module, step: u64, forward: impl FnOnce(&Batch) -> (Var, Var)) {
        let probe = self.measure(net, step, || forward(&self.batch));
        self.begun = Some((probe, self.values()));
    }

    /// The probe, when the step after it is done.
    pub fn finish(&mut self) -> Option<Probe> {
        let (mut probe, before) = self.begun.take()?;
        for ((layer, (_, parameters)), before) in probe.layers.iter_mut().zip(&self.layers).zip(&before) {
            let changes: Vec<Tensor> = (parameters.iter().zip(before))
                .map(|(parameter, before)| parameter.value().binary(Binary::Sub, before))
                .collect();
            layer.update = Some(norm(&changes));
        }
        Some(probe)
    }

    /// The probe after the last step of a run.
    pub fn last(&mut self, net: &dyn Module, step: u64, forward: impl FnOnce(&Batch) -> (Var, Var)) -> Probe {
        self.measure(net, step, || forward(&self.batch))
    }

    /// A forward and a backward pass. Each op records by itself, and the layers keep their state.
    fn measure(&self, net: &dyn Module, step: u64, forward: impl FnOnce() -> (Var, Var)) -> Probe {
        let state = State::take(net);
        let outputs = Rc::new(RefCell::new(Outputs::default()));
        let seen = Rc::clone(&outputs);
        let look = move |var: Var| {
            seen.borrow_mut().see(&var);
            var
        };
        let (loss, logits) = map_records(look, || unfused(forward));
        let gradients = loss.backward();
        state.restore(net);
        let layers = self.layers.iter().map(|(layer, parameters)| LayerProbe {
            layer: layer.clone(),
            gradient: norm(&parameters.iter().filter_map(|p| gradients.get(p).cloned()).collect::<Vec<_>>()),
            weight: norm(&parameters.iter().map(|p| p.value().clone()).collect::<Vec<_>>()),
            update: None,
        });
        let layers = layers.collect();
        let outputs = outputs.take().until(&logits);
        Probe {
            step,
            images: self.batch.images.shape()[0],
            loss: f64::from(loss.item()),
            layers,
            outputs,
            filters: self.filters(),
        }
    }

    /// Copies of the parameters, which the next step changes in place.
    fn values(&self) -> Vec<Vec<Tensor>> {
        let copy = |parameter: &Var| {
            let value = parameter.value();
            let mut copy = Tensor::full_on(value.device(), value.shape(), 0.0);
            copy.copy_from(&value);
            copy
        };
        self.layers.iter().map(|(_, parameters)| parameters.iter().map(copy).collect()).collect()
    }

    /// The filters of the first convolution, as many as are kept.
    fn filters(&self) -> Option<Filters> {
        let (layer, weight) = self.layers.iter().find_map(|(layer, parameters)| {
            let weight = parameters.iter().find(|parameter| parameter.shape().rank() == 4)?;
            Some((layer, weight.value().clone()))
        })?;
        let shape: [usize; 4] = weight.shape().iter().copied().collect::<Vec<_>>().try_into().ok()?;
        let [o, c, h, w] = shape;
        let kept = o.min(FILTERS).min(FILTER_WEIGHTS / (c * h * w).max(1));
        let values = weight.narrow(0, 0..kept).contiguous().to_vec();
        let scale = values.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let quantized = values.iter().map(|x| (127.0 * x / scale.max(f32::MIN_POSITIVE)).round() as i8).collect();
        (kept > 0).then(|| Filters { layer: layer.clone(), shape: [kept, c, h, w], scale, values: quantized })
    }
}

/// The parameters of each layer that are trained, in the order of the net.
fn layers(net: &dyn Module) -> Vec<(String, Vec<Var>)> {
    let mut layers: Vec<(String, Vec<Var>)> = Vec::new();
    for (path, parameter) in net.named_parameters() {
        let layer = path.rsplit_once('.').map_or(path.as_str(), |(layer, _)| layer);
        if !parameter.requires_grad() {
            continue;
        }
        match layers.last_mut().filter(|(last, _)| last == layer) {
            Some((_, parameters)) => parameters.push(parameter),
            None => layers.push((layer.to_owned(), vec![parameter])),
        }
    }
    layers
}

fn norm(xs: &[Tensor]) -> f32 {
    if xs.is_empty() { 0.0 } else { Tensor::norm(&xs.iter().collect::<Vec<_>>()).item() as f32 }
}

/// The buffers and counters of a net. The buffers are handles, not copies: the next forward pass copies before it writes, and
/// after [`restore`](Self::restore) the net has the tensors back that it had.
struct State {
    buffers: Vec<Tensor>,
    counters: Vec<u64>,
}

impl State {
    fn take(net: &dyn Module) -> Self {
        let (mut buffers, mut counters) = (Vec::new(), Vec::new());
        net.visit(&mut Visitor::new(&mut |_, item| match item {
            Item::Buffer(buffer) => buffers.push(buffer.get()),
            Item::Counter(counter) => counters.push(counter.get()),
            _ => {}
        }));
        Self { buffers, counters }
    }

    fn restore(self, net: &dyn Module) {
        let (mut buffers, mut counters) = (self.buffers.into_iter(), self.counters.into_iter());
        net.visit(&mut Visitor::new(&mut |_, item| match item {
            Item::Buffer(buffer) => buffer.set(buffers.next().expect("the net is the same")),
            Item::Counter(counter) => counter.set(counters.next().expect("the net is the same")),
            _ => {}
        }));
    }
}
