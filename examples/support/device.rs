//! The flags that say where to compute, and how exactly.

use chainrule::prelude::Device;
use chainrule::tensor::cuda::{self, Precision};
use clap::{Args, ValueEnum};

use super::Failure;

/// Where to compute.
#[derive(Args, Clone, Debug)]
pub struct DeviceOptions {
    /// Where to compute: auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// How exactly a GPU multiplies
    #[arg(long, value_enum, default_value_t = PrecisionKind::Fp32)]
    pub precision: PrecisionKind,
}

/// How exactly a GPU multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionKind {
    /// As 32-bit floats; on tensor cores by three products of TF32 for one
    Fp32,
    /// By one product of TF32, which has 11 bits
    Tf32,
}

impl DeviceOptions {
    /// The device, and the precision set.
    pub fn choose(&self) -> Result<Device, Failure> {
        let device = if self.device == "auto" {
            let (device, why_no_gpu) = Device::auto();
            if let Some(why) = why_no_gpu {
                println!("no GPU: {why}");
            }
            device
        } else {
            let device: Device = self.device.parse().map_err(|error| Failure::Usage(format!("--device: {error}")))?;
            device.ready()?
        };
        match (device, self.precision) {
            (_, PrecisionKind::Fp32) => cuda::set_precision(Precision::Fp32),
            (Device::Cuda(_), PrecisionKind::Tf32) => cuda::set_precision(Precision::Tf32),
            _ => {
                return Err(Failure::Usage(format!(
                    "--precision tf32: {device} has no tensor cores and computes in fp32; leave the flag out"
                )));
            }
        }
        Ok(device)
    }
}
