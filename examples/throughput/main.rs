//! How fast nets are trained here: forward, backward and optimizer step on synthetic data in memory.
//!
//! `cargo run --release --example throughput -- --net cifar --profile`

#[path = "../support/failure.rs"]
mod failure;
mod nets;
mod profile;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use chainrule::prelude::*;
use chainrule::tensor::pool;
use clap::Parser;
use failure::Failure;
use nets::{Net, Work};
use serde_json::json;

/// Times training steps on synthetic data
#[derive(Parser)]
struct Arguments {
    /// The net
    #[arg(long, value_enum)]
    net: Net,
    /// Images in a batch [default: what the net is usually timed with]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Seconds of measuring, divided among the repeats
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Repeats, of which the median is told
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(5..))]
    repeats: u32,
    /// Threads [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Where to compute: auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
    /// Write the result here too, as one JSON object
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print the time of each op, forward and backward, and its share of the machine's measured peak
    #[arg(long)]
    profile: bool,
    /// Do one step and end: what a program takes from its start to its first step
    #[arg(long, conflicts_with = "profile")]
    once: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(x) if x > 0.0 && f64::is_finite(x) => Ok(x),
        _ => Err("a number of seconds above 0 is wanted".into()),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    failure::main(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(threads) = arguments.threads {
        chainrule::tensor::set_threads(threads as usize)?;
    }
    if arguments.device != "auto" {
        let device: Device = arguments.device.parse().map_err(|e| Failure::Usage(format!("--device: {e}")))?;
        device.ready()?;
    }
    let batch = arguments.batch.map_or(arguments.net.batch(), |batch| batch as usize);
    let mut work = arguments.net.work(batch);
    let loss = step(&mut work);
    if arguments.once {
        println!("first step done, loss {loss:.4}");
        return Ok(());
    }
    let flops = profile::step_flops(&mut work);
    if arguments.profile {
        let start = Instant::now();
        step(&mut work);
        let steps = (arguments.seconds / start.elapsed().as_secs_f64()).clamp(3.0, 1000.0) as usize;
        profile::print(&mut work, steps);
    }

    let start = Instant::now();
    let mut warm = 0;
    while warm < 3 || start.elapsed().as_secs_f64() < 0.2 * arguments.seconds {
        step(&mut work);
        warm += 1;
    }
    let each = arguments.seconds / f64::from(arguments.repeats);
    let steps = ((each * f64::from(warm) / start.elapsed().as_secs_f64()) as usize).max(1);
    let before = pool::stats().allocated;
    let mut times: Vec<f64> = (0..arguments.repeats)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..steps {
                step(&mut work);
            }
            start.elapsed().as_secs_f64() / steps as f64
        })
        .collect();
    let allocated = pool::stats().allocated - before;
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let net = format!("{:?}", arguments.net).to_lowercase();
    let threads = chainrule::tensor::threads();
    let result = json!({
        "net": net,
        "batch": batch,
        "threads": threads,
        "images_per_second": batch as f64 / median,
        "gflops": flops / median / 1e9,
        "peak_memory_bytes": peak_memory(),
        "milliseconds_per_step": 1e3 * median,
        "allocations_per_step": allocated as f64 / (steps * times.len()) as f64,
    });
    println!(
        "{net}, batch {batch}, {threads} threads: {:.1} images/s (slowest {:.1}, fastest {:.1}), {:.3} ms a step, {:.0} GFLOP/s, {:.0} MB at most, {} tensor allocations a step",
        batch as f64 / median,
        batch as f64 / times[times.len() - 1],
        batch as f64 / times[0],
        1e3 * median,
        flops / median / 1e9,
        peak_memory() as f64 / 1e6,
        result["allocations_per_step"]
    );
    if let Some(path) = &arguments.json {
        let text = format!("{result}\n");
        std::fs::write(path, text).map_err(|e| Failure::Run(format!("--json {}: {e}", path.display())))?;
    }
    Ok(())
}

/// One step of training; returns the loss.
fn step(work: &mut Work) -> f32 {
    let loss = work.model.forward(&work.images).cross_entropy(&work.labels);
    let gradients = loss.backward();
    work.optimizer.step(&gradients);
    loss.item()
}

/// The most memory that this process has had: what the system says where it says so in a file, else the tensors' part.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.map_or(pool::stats().peak_in_use as u64, |kb| 1024 * kb)
}
