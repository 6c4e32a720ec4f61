//! One step of a run, operation by operation, as a stream of tensors: what `chainrule diff` compares.

use std::cell::RefCell;
use std::io::{self, BufRead, BufWriter, Write};
use std::rc::Rc;

use chainrule::autograd::{Observer, Operation, map_records};
use chainrule::data::Batch;
use chainrule::nn::unfused;
use chainrule::prelude::*;
use serde::{Deserialize, Serialize};

use super::accumulate::GradientSum;
use super::recipe::Recipe;
use super::steps::bytes;

/// The line after which the stream begins: a run prints before it.
const MARK: &str = "--- trace of a step ---";

/// When a tensor occurs in a step.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Phase {
    /// Images, labels and weights.
    Before,
    Forward,
    Backward,
    /// The weights after the step.
    After,
}

/// The line before the elements of a tensor.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Head {
    pub phase: Phase,
    /// Such as "conv2d of conv1".
    pub what: String,
    pub shape: Vec<usize>,
}

/// Takes a step and writes every tensor of it to the standard output; then the program ends. Unfused, each operation has an output
/// of its own; the bits are the same.
pub fn write_and_exit(net: &dyn Module, batches: &[Batch], recipe: &Recipe, optimizer: &mut dyn Optimizer) -> ! {
    let mut out = Out(BufWriter::new(io::stdout()));
    out.send(format!("{MARK}\n").as_bytes());
    // The place of a batch among those of the step, if it has several.
    let n = batches.len();
    let place = |i: usize| if n > 1 { format!(" (batch {} of {n})", i + 1) } else { String::new() };
    for (i, batch) in batches.iter().enumerate() {
        out.tensor(Phase::Before, format!("images{}", place(i)), &batch.images);
        let labels: Vec<f32> = batch.labels.to_vec().iter().map(|&label| label as f32).collect();
        out.tensor(Phase::Before, format!("labels{}", place(i)), &labels.into());
    }
    let weights = |phase, out: &mut Out| {
        for (name, parameter) in net.named_parameters() {
            out.tensor(phase, name, &parameter.value());
        }
    };
    weights(Phase::Before, &mut out);
    let out = Rc::new(RefCell::new(out));
    let mut sum = GradientSum::default();
    for (i, batch) in batches.iter().enumerate() {
        let (seen, at) = (out.clone(), place(i));
        let look = move |var: Var| {
            if let Some(op) = var.operation() {
                seen.borrow_mut().tensor(Phase::Forward, name(&op) + &at, &var.value());
            }
            var
        };
        let loss = unfused(|| map_records(look, || recipe.loss(net, batch).0));
        let gradients = loss.backward_observed(&[], &mut Backward(out.clone(), place(i)));
        sum.add(gradients, recipe.accumulation().share(batch.index));
    }
    recipe.update(optimizer, sum.take());
    let mut out = out.borrow_mut();
    weights(Phase::After, &mut out);
    out.end()
}

fn name(op: &Operation<'_, f32>) -> String {
    let layer = op.layer().map_or(String::new(), |layer| format!(" of {layer}"));
    format!("{}{layer}", op.rule().name())
}

/// Writes what each operation passes back in a batch with this place.
struct Backward(Rc<RefCell<Out>>, String);

impl Observer<f32> for Backward {
    fn node_done(&mut self, op: &Operation<'_, f32>, _dy: &Var, gradients: &[Option<Var>]) {
        for (i, gradient) in gradients.iter().enumerate() {
            if let Some(gradient) = gradient {
                let what = format!("{}, gradient of {}{}", name(op), op.parent(i).name(), self.1);
                self.0.borrow_mut().tensor(Phase::Backward, what, &gradient.value());
            }
        }
    }
}

struct Out(BufWriter<io::Stdout>);

impl Out {
    fn tensor(&mut self, phase: Phase, what: String, x: &Tensor) {
        let head = Head { phase, what, shape: x.shape().iter().copied().collect() };
        let line = serde_json::to_string(&head).expect("a head is JSON");
        self.send(format!("{line}\n").as_bytes());
        bytes(x, |block| self.send(block));
    }

    fn send(&mut self, bytes: &[u8]) {
        if self.0.write_all(bytes).is_err() {
            // The reader has seen enough.
            std::process::exit(0);
        }
    }

    fn end(&mut self) -> ! {
        let _ = self.0.flush();
        std::process::exit(0)
    }
}

/// The stream of another process.
pub struct Stream<R>(R);

impl<R: BufRead> Stream<R> {
    /// Skips what the run prints before the stream; `None` if there is none.
    pub fn open(mut from: R) -> io::Result<Option<Self>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if from.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            if line.strip_suffix(b"\n") == Some(MARK.as_bytes()) {
                return Ok(Some(Self(from)));
            }
        }
    }

    /// The next tensor; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<(Head, Vec<f32>)>> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let head: Head = serde_json::from_str(&line)?;
        let mut bytes = vec![0; 4 * head.shape.iter().product::<usize>()];
        self.0.read_exact(&mut bytes)?;
        let elements = bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        Ok(Some((head, elements.collect())))
    }
}
