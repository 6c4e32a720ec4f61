//! The flags that say where to compute, on how many threads and how exactly.

use chainrule::prelude::Device;
use chainrule::tensor::cuda::{self, Precision};
use clap::{Args, ValueEnum};

use crate::failure::Failure;

/// Where to compute, and how exactly.
#[derive(Args, Clone, Debug)]
pub struct ComputeOptions {
    /// Where to compute: auto, cpu or cuda:N; auto is a GPU if one can be used (`chainrule doctor` says why not)
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// How exactly a GPU multiplies
    #[arg(long, value_enum, default_value_t = PrecisionKind::Fp32)]
    pub precision: PrecisionKind,
    /// Threads [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
}

/// How exactly a GPU multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionKind {
    /// As 32-bit floats; on tensor cores by three products of TF32 for one
    Fp32,
    /// By one product of TF32, which has 11 bits
    Tf32,
    /// By products of bf16, which has 8 bits; activations are stored so too, weights and sums as 32-bit floats
    Bf16,
}

impl ComputeOptions {
    /// Sets the threads and the precision, and chooses the device.
    pub fn prepare(&self) -> Result<Device, Failure> {
        if let Some(threads) = self.threads {
            chainrule::tensor::set_threads(threads as usize)?;
        }
        let device = if self.device == "auto" {
            // Most machines have no GPU: that is no news. `doctor` says why.
            Device::auto().0
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
}
