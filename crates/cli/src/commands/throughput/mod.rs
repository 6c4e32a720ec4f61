//! Measures training throughput: forward, backward and optimizer step on synthetic data in memory.

mod nets;
mod profile;

use std::path::PathBuf;
use std::time::Instant;

use chainrule::prelude::*;
use chainrule::tensor::buffer_pool;
use chainrule::tensor::cuda;
use clap::Args;
use nets::{Net, Work};
use serde_json::json;

use crate::compute::ComputeOptions;
use crate::failure::Failure;
use crate::numbers::positive;

/// Measures training throughput on synthetic data
#[derive(Args)]
pub struct Arguments {
    /// The net
    #[arg(long, value_enum)]
    net: Net,
    /// Images per batch [default: depends on the net]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Seconds to measure, divided among the repeats
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    seconds: f64,
    /// Number of repeats, of which the median is reported
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(5..))]
    repeats: u32,
    #[command(flatten)]
    compute: ComputeOptions,
    /// Also write the result to this file, as one JSON object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print the time of each op, forward and backward, and its fraction of the measured peak of the machine
    #[arg(long)]
    profile: bool,
    /// Run one step and exit, to measure the time from process start to the end of the first step
    #[arg(long, conflicts_with = "profile")]
    once: bool,
    /// Disable fusion: each layer runs its own ops, as in a forward pass without `chain`
    #[arg(long)]
    unfused: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.unfused { unfused(|| time(arguments)) } else { time(arguments) }
}

fn time(arguments: &Arguments) -> Result<(), Failure> {
    let device = arguments.compute.prepare()?;
    if arguments.profile && device != Device::Cpu {
        return Err(Failure::Usage("--profile: ops can be timed on the CPU only; add --device cpu".into()));
    }
    let batch = arguments.batch.map_or(arguments.net.batch(), |batch| batch as usize);
    let mut work = arguments.net.work(batch, device);
    if arguments.once {
        let Work { model, images, labels, mut optimizer } = work;
        let loss = Steps::new(&*model, &images, &labels, device).run(&mut *optimizer, 1);
        println!("first step done, loss {loss:.4}");
        return Ok(());
    }
    let flops = profile::step_flops(&mut work);
    if arguments.profile {
        let start = Instant::now();
        profile::step_flops(&mut work);
        let steps = (arguments.seconds / start.elapsed().as_secs_f64()).clamp(3.0, 1000.0) as usize;
        profile::print(&mut work, steps);
    }

    let Work { model, images, labels, mut optimizer } = work;
    let mut steps_of_work = Steps::new(&*model, &images, &labels, device);
    let start = Instant::now();
    let mut warm = 0;
    while warm < 5 || start.elapsed().as_secs_f64() < 0.2 * arguments.seconds {
        steps_of_work.run(&mut *optimizer, 1);
        warm += 1;
    }
    let each = arguments.seconds / f64::from(arguments.repeats);
    let steps = ((each * f64::from(warm) / start.elapsed().as_secs_f64()) as usize).max(1);
    let before = allocations(device)?;
    let mut times: Vec<f64> = (0..arguments.repeats)
        .map(|_| {
            let start = Instant::now();
            steps_of_work.run(&mut *optimizer, steps);
            start.elapsed().as_secs_f64() / steps as f64
        })
        .collect();
    let allocated = allocations(device)? - before;
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let net = format!("{:?}", arguments.net).to_lowercase();
    let threads = chainrule::tensor::threads();
    let result = json!({
        "net": net,
        "batch": batch,
        "threads": threads,
        "device": device.to_string(),
        "precision": format!("{:?}", arguments.compute.precision).to_lowercase(),
        "images_per_second": batch as f64 / median,
        "gflops": flops / median / 1e9,
        "peak_memory_bytes": peak_memory(device)?,
        "milliseconds_per_step": 1e3 * median,
        "allocations_per_step": allocated as f64 / (steps * times.len()) as f64,
    });
    println!(
        "{net}, batch {batch}, {device}, {threads} threads: {:.1} images/s (slowest {:.1}, fastest {:.1}), {:.3} ms a step, {:.0} GFLOP/s, {:.0} MB at most, {} tensor allocations a step",
        batch as f64 / median,
        batch as f64 / times[times.len() - 1],
        batch as f64 / times[0],
        1e3 * median,
        flops / median / 1e9,
        peak_memory(device)? as f64 / 1e6,
        result["allocations_per_step"]
    );
    if let Some(path) = &arguments.json {
        let text = format!("{result}\n");
        std::fs::write(path, text).map_err(|e| Failure::Run(format!("--json {}: {e}", path.display())))?;
    }
    Ok(())
}

/// Training steps on one batch, captured as a CUDA graph on a GPU.
struct Steps<'a> {
    model: &'a dyn Module,
    images: &'a Var,
    labels: &'a TensorOf<i32>,
    replay: Replay<'a>,
    losses: [TensorOf<f64>; 1],
}

impl<'a> Steps<'a> {
    fn new(model: &'a dyn Module, images: &'a Var, labels: &'a TensorOf<i32>, device: Device) -> Self {
        let losses = [TensorOf::full_on(device, (), 0.0)];
        Self { model, images, labels, replay: Replay::new(model, device), losses }
    }

    /// Runs `steps` steps and synchronizes; returns the sum of all losses so far.
    fn run(&mut self, optimizer: &mut dyn Optimizer, steps: usize) -> f64 {
        let model = self.model;
        for _ in 0..steps {
            self.replay.run(&self.images.value(), self.labels, optimizer, &mut self.losses, |step| {
                let loss = model.forward(&Var::constant(step.inputs)).cross_entropy(step.labels);
                step.optimizer.step(&loss.backward());
                step.totals[0].add_assign(&loss.value().to_f64());
            });
        }
        self.losses[0].item()
    }
}

/// Number of allocations that the buffer pool did not serve.
fn allocations(device: Device) -> Result<u64, Failure> {
    Ok(match device {
        Device::Cuda(ordinal) => cuda::stats(ordinal)?.allocated,
        _ => buffer_pool::stats().allocated,
    })
}

/// Peak memory in bytes: of the tensors on a GPU; else of this process, or of its tensors if the system does not report it.
fn peak_memory(device: Device) -> Result<u64, Failure> {
    if let Device::Cuda(ordinal) = device {
        return Ok(cuda::stats(ordinal)?.peak_in_use as u64);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kilobytes.map_or(buffer_pool::stats().peak_in_use as u64, |kb| 1024 * kb))
}
