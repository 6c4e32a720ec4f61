//! Measures training throughput: forward, backward and optimizer step on synthetic data in memory; or the forward pass alone.

mod nets;
mod plain;
mod profile;
mod steps;

use std::path::PathBuf;
use std::time::Instant;

use chainrule::prelude::*;
use chainrule::tensor::buffer_pool;
use chainrule::tensor::cuda;
use clap::Args;
use nets::{Net, Work};
use plain::PlainOptions;
use serde_json::json;
use steps::{Inference, Run, Steps};

use crate::compute::ComputeOptions;
use crate::failure::Failure;
use crate::numbers::positive;
use crate::training::distributed::{DistributedOptions, Processes};

/// Measures training throughput on synthetic data
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line, each by itself")]
pub struct Arguments {
    /// The net
    #[arg(long, value_enum)]
    net: Net,
    #[command(flatten)]
    plain: PlainOptions,
    /// Images per batch, in each process [default: depends on the net]
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
    /// Time the forward pass alone, of the net in evaluation mode, without recording
    #[arg(long, conflicts_with_all = ["profile", "once"])]
    inference: bool,
    /// Disable fusion: each layer runs its own ops, as in a forward pass without `chain`
    #[arg(long)]
    unfused: bool,
    #[command(flatten)]
    distributed: DistributedOptions,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.unfused { unfused(|| time(arguments)) } else { time(arguments) }
}

fn time(arguments: &Arguments) -> Result<(), Failure> {
    let alone = [("--profile", arguments.profile), ("--once", arguments.once), ("--inference", arguments.inference)];
    arguments.distributed.check(&alone)?;
    let (processes, device) = Processes::begin(&arguments.distributed, &arguments.compute)?;
    match time_together(arguments, &processes, device) {
        Ok(()) => {
            processes.end();
            Ok(())
        }
        Err(failure) => Err(processes.fail(failure)),
    }
}

fn time_together(arguments: &Arguments, processes: &Processes, device: Device) -> Result<(), Failure> {
    if arguments.profile && device != Device::Cpu {
        return Err(Failure::Usage("--profile: ops can be timed on the CPU only; add --device cpu".into()));
    }
    let batch = arguments.batch.map_or(arguments.net.batch(), |batch| batch as usize);
    let plain = arguments.plain.checked(arguments.net)?;
    let mut work = arguments.net.work(plain, batch, device);
    if arguments.once {
        let Work { model, images, labels, mut optimizer } = work;
        let mut steps = Steps::new(&*model, &images, &labels, &mut *optimizer, device);
        steps.run(1)?;
        println!("first step done, loss {:.4}", steps.loss());
        return Ok(());
    }
    if arguments.profile {
        profile::step_flops(&mut work);
        let start = Instant::now();
        profile::step_flops(&mut work);
        let steps = (arguments.seconds / start.elapsed().as_secs_f64()).clamp(3.0, 1000.0) as usize;
        profile::print(&mut work, steps);
    }

    let ranks = processes.communicator().size();
    let timed = measure(&mut work, arguments, processes, device)?;
    if !processes.is_first() {
        return Ok(());
    }
    // After the measurement: it runs a training step, which takes more memory than a forward pass.
    let flops = profile::step_flops(&mut work);
    let flops = ranks as f64 * if arguments.inference { flops.forward } else { flops.step };
    let (images, median) = ((batch * ranks) as f64, timed.median);
    let net = format!("{:?}", arguments.net).to_lowercase();
    let threads = chainrule::tensor::threads();
    let result = json!({
        "net": net,
        "pass": if arguments.inference { "inference" } else { "training" },
        "batch": batch,
        "threads": threads,
        "processes": ranks,
        "device": device.to_string(),
        "precision": format!("{:?}", arguments.compute.precision).to_lowercase(),
        "images_per_second": images / median,
        "gflops": flops / median / 1e9,
        "peak_memory_bytes": timed.peak_memory,
        "milliseconds_per_step": 1e3 * median,
        "allocations_per_step": timed.allocations,
    });
    println!(
        "{net}, batch {batch}, {device}, {threads} threads{}: {:.1} images/s (slowest {:.1}, fastest {:.1}), {:.3} ms a step, {:.0} GFLOP/s, {:.0} MB at most, {} tensor allocations a step",
        processes.text(),
        images / median,
        images / timed.slowest,
        images / timed.fastest,
        1e3 * median,
        flops / median / 1e9,
        timed.peak_memory as f64 / 1e6,
        timed.allocations
    );
    if let Some(path) = &arguments.json {
        let text = format!("{result}\n");
        std::fs::write(path, text).map_err(|e| Failure::Run(format!("--json {}: {e}", path.display())))?;
    }
    Ok(())
}

/// Seconds of a step in several repeats, what it allocates, and the peak of memory in bytes.
struct Timed {
    median: f64,
    fastest: f64,
    slowest: f64,
    allocations: f64,
    peak_memory: u64,
}

/// Times training steps or forward passes; all processes take the same steps.
fn measure(work: &mut Work, arguments: &Arguments, processes: &Processes, device: Device) -> Result<Timed, Failure> {
    let Work { model, images, labels, optimizer } = work;
    let ranks = processes.communicator().size();
    let mut run: Box<dyn Run> = if arguments.inference {
        Box::new(Inference::new(&**model, images))
    } else {
        let steps = Steps::new(&**model, images, labels, &mut **optimizer, device);
        Box::new(steps.in_parallel(arguments.distributed.parallel(processes)?))
    };
    let start = Instant::now();
    let mut warm = 0;
    while warm < 5 || (ranks == 1 && start.elapsed().as_secs_f64() < 0.2 * arguments.seconds) {
        run.run(1)?;
        warm += 1;
    }
    let each = arguments.seconds / f64::from(arguments.repeats);
    let steps = ((each * f64::from(warm) / start.elapsed().as_secs_f64()) as u64).max(1);
    let steps = processes.communicator().broadcast(&steps.to_le_bytes(), 0)?;
    let steps = u64::from_le_bytes(steps.try_into().expect("8 bytes")) as usize;
    let before = allocations(device)?;
    let mut times: Vec<f64> = (0..arguments.repeats)
        .map(|_| {
            let start = Instant::now();
            run.run(steps)?;
            Ok(start.elapsed().as_secs_f64() / steps as f64)
        })
        .collect::<Result<_, Failure>>()?;
    let allocated = allocations(device)? - before;
    times.sort_by(f64::total_cmp);
    Ok(Timed {
        median: times[times.len() / 2],
        fastest: times[0],
        slowest: times[times.len() - 1],
        allocations: allocated as f64 / (steps * times.len()) as f64,
        peak_memory: peak_memory(device)?,
    })
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
