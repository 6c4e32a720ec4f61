//! The flags for device, threads and precision.

use std::num::NonZero;

use chainrule::prelude::Device;
use chainrule::tensor::cuda::{self, Precision};
use chainrule_distributed::local_gpu;
use clap::{Args, ValueEnum};

use crate::failure::Failure;

/// The device, the number of threads and the precision.
#[derive(Args, Clone, Debug)]
pub struct ComputeOptions {
    /// Device: cpu, cuda:N, or auto: a GPU if one is usable (`chainrule doctor` explains why not)
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Precision of products on a GPU
    #[arg(long, value_enum, default_value_t = PrecisionKind::Fp32)]
    pub precision: PrecisionKind,
    /// Number of threads [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
}

/// Precision of products on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionKind {
    /// 32-bit floats; on tensor cores each product is three TF32 products
    Fp32,
    /// TF32: 11 significant bits
    Tf32,
    /// bf16: 8 significant bits, also for stored activations; weights and sums stay 32-bit floats
    Bf16,
}

impl ComputeOptions {
    /// Sets the threads and the precision, and chooses the device.
    pub fn prepare(&self) -> Result<Device, Failure> {
        self.prepare_for((0, 1))
    }

    /// As [`prepare`](Self::prepare), for one of several processes of this machine, by its rank among them and their number:
    /// they share the cores and have a GPU each, where the flags do not say otherwise.
    pub fn prepare_for(&self, local: (usize, usize)) -> Result<Device, Failure> {
        let (_, processes) = local;
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        let shared = (processes > 1).then(|| (cores() / processes).max(1));
        if let Some(threads) = self.threads.map(|threads| threads as usize).or(shared) {
            chainrule::tensor::set_threads(threads)?;
        }
        let device = if self.device == "auto" {
            // No message if there is no GPU: most machines have none, and `doctor` explains why.
            match Device::auto().0 {
                Device::Cuda(_) if processes > 1 => Device::Cuda(local_gpu(local)?).ready()?,
                device => device,
            }
        } else {
            let device: Device = self.device.parse().map_err(|error| Failure::Usage(format!("--device: {error}")))?;
            device.ready()?
        };
        let precision = match self.precision {
            PrecisionKind::Fp32 => Precision::Fp32,
            PrecisionKind::Tf32 => Precision::Tf32,
            PrecisionKind::Bf16 => Precision::Bf16,
        };
        if device == Device::Cpu && precision != Precision::Fp32 {
            let name = format!("{precision:?}").to_lowercase();
            return Err(Failure::Usage(format!(
                "--precision {name}: {device} has no tensor cores and computes in fp32; leave the flag out"
            )));
        }
        cuda::set_precision(precision);
        Ok(device)
    }

    /// Whether the device is a GPU, as far as the flags say.
    pub fn wants_gpu(&self) -> bool {
        if self.device == "auto" { Device::auto().0 != Device::Cpu } else { self.device.starts_with("cuda") }
    }

    /// What determines the bits of results besides the program and its settings: device, precision, vector instructions.
    pub fn arithmetic(&self, device: Device) -> String {
        if device == Device::Cpu {
            format!("{device} with {}", chainrule::tensor::machine::features())
        } else {
            format!("{device} in {:?}", self.precision).to_lowercase()
        }
    }
}
