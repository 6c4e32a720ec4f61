//! Time of each op, forward and backward, and its fraction of the peak of the machine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use chainrule::autograd::{Observer, watch_records};
use chainrule::prelude::*;
use chainrule::tensor::machine;

use super::nets::Work;

/// Accumulated cost of one kind of op.
#[derive(Clone, Copy, Default)]
struct Cost {
    calls: usize,
    seconds: f64,
    flops: f64,
    bytes: f64,
}

/// The floating-point operations of the product in an op, two for each multiply-add, for one pass: forward, or the gradient
/// of one parent. Only products are counted.
fn product_flops(op: &Operation<f32>) -> f64 {
    2.0 * op.rule().multiply_adds(op) as f64
}

/// The number of products in the backward pass: one for each of input and weight that requires a gradient.
fn passes(op: &Operation<f32>) -> f64 {
    (0..op.parents().min(2)).filter(|&i| op.parent(i).requires_grad()).count() as f64
}

/// Bytes of the operands and the result, each counted once.
fn bytes(op: &Operation<f32>) -> f64 {
    let parents = (0..op.parents()).map(|i| op.parent(i).shape().numel()).sum::<usize>();
    (size_of::<f32>() * (parents + op.output().shape().numel())) as f64
}

/// The floating-point operations of all products, two for each multiply-add.
#[derive(Clone, Copy, Default)]
pub struct Flops {
    /// Of the forward pass.
    pub forward: f64,
    /// Of a training step.
    pub step: f64,
}

/// Measures the time between the nodes of a backward walk.
struct Clock<'a> {
    last: Instant,
    forward: &'a BTreeMap<u64, f64>,
    costs: &'a mut BTreeMap<(String, &'static str), Cost>,
    flops: Flops,
}

impl Observer<f32> for Clock<'_> {
    fn node_done(&mut self, op: &Operation<f32>, _dy: &Var, _gradients: &[Option<Var>]) {
        let seconds = self.last.elapsed().as_secs_f64();
        let (flops, bytes) = (product_flops(op), bytes(op));
        self.flops.forward += flops;
        self.flops.step += (1.0 + passes(op)) * flops;
        let mut enter = |direction, seconds, flops, bytes| {
            let cost = self.costs.entry((label(op), direction)).or_default();
            cost.calls += 1;
            cost.seconds += seconds;
            cost.flops += flops;
            cost.bytes += bytes;
        };
        enter("forward", self.forward.get(&op.output().id()).copied().unwrap_or(0.0), flops, bytes);
        enter("backward", seconds, passes(op) * flops, 2.0 * bytes);
        self.last = Instant::now();
    }
}

/// The name of the op; for products with the sizes that identify it.
fn label(op: &Operation<f32>) -> String {
    let name = op.rule().name();
    if op.rule().multiply_adds(op) == 0 {
        return name.to_owned();
    }
    format!("{name} {} → {}", op.parent(0).shape(), op.output().shape())
}

/// What a training step computes.
pub fn step_flops(work: &mut Work) -> Flops {
    timed_step(work, &mut BTreeMap::new())
}

/// Runs one step and times every op; returns the floating-point operations of its products.
fn timed_step(work: &mut Work, costs: &mut BTreeMap<(String, &'static str), Cost>) -> Flops {
    let forward = Rc::new(RefCell::new(BTreeMap::new()));
    let (times, mut last) = (Rc::clone(&forward), Instant::now());
    let loss = watch_records(
        move |id| {
            times.borrow_mut().insert(id, last.elapsed().as_secs_f64());
            last = Instant::now();
        },
        || work.model.forward(&work.images).cross_entropy(&work.labels),
    );
    let forward = forward.borrow();
    let mut clock = Clock { last: Instant::now(), forward: &forward, costs, flops: Flops::default() };
    let gradients = loss.backward_observed(&[], &mut clock);
    let flops = clock.flops;
    let start = Instant::now();
    work.optimizer.step(&gradients);
    let cost = costs.entry(("optimizer step".into(), "")).or_default();
    cost.calls += 1;
    cost.seconds += start.elapsed().as_secs_f64();
    // Reads the parameter, its gradient and two moments; writes all but the gradient.
    cost.bytes += 28.0 * gradients.iter().map(|(_, g)| g.numel()).sum::<usize>() as f64;
    flops
}

/// Runs `steps` steps and prints the time of each op, most expensive first.
pub fn print(work: &mut Work, steps: usize) {
    let (flops, bandwidth) = (machine::peak_flops(), machine::peak_bandwidth());
    let mut costs = BTreeMap::new();
    timed_step(work, &mut costs);
    costs.clear();
    for _ in 0..steps {
        timed_step(work, &mut costs);
    }
    println!(
        "measured peak: {:.0} GFLOP/s of multiply-adds, {:.1} GB/s of memory; mean of {steps} steps",
        flops / 1e9,
        bandwidth / 1e9
    );
    println!("{:>9} {:>6} {:>6} {:>9} {:>7}  op", "µs/step", "share", "calls", "GFLOP/s", "of peak");
    let total: f64 = costs.values().map(|cost| cost.seconds).sum();
    let mut rows: Vec<_> = costs.into_iter().collect();
    rows.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds));
    for ((name, direction), cost) in rows {
        // Products are rated by their multiply-adds, all other ops by the bytes they move.
        let (rate, of_peak) = if cost.flops > 0.0 {
            let rate = cost.flops / cost.seconds;
            (format!("{:.1}", rate / 1e9), rate / flops)
        } else {
            (String::new(), cost.bytes / cost.seconds / bandwidth)
        };
        println!(
            "{:>9.1} {:>5.1}% {:>6.1} {rate:>9} {:>6.0}%  {name} {direction}",
            1e6 * cost.seconds / steps as f64,
            100.0 * cost.seconds / total,
            cost.calls as f64 / steps as f64,
            100.0 * of_peak
        );
    }
    println!("{:>9.1} µs in all", 1e6 * total / steps as f64);
}
