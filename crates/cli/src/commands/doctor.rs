//! Reports the usable hardware of this machine, and how to fix what is missing.

use std::time::Duration;

use chainrule::tensor::cuda::{self, Family};
use chainrule::tensor::{Device, machine};

use crate::failure::Failure;

pub fn run() -> Result<(), Failure> {
    println!("CPU: {} threads, {}", chainrule::tensor::threads(), machine::features());
    let report = match cuda::report() {
        Ok(report) => report,
        Err(why) => {
            println!("GPU: none: {why}");
            println!("--device auto computes on the CPU");
            return Ok(());
        }
    };
    let (major, minor) = report.cuda;
    println!("CUDA driver: for CUDA {major}.{minor}");
    let mut usable = true;
    for (ordinal, device) in report.devices.iter().enumerate() {
        let name = Device::Cuda(ordinal);
        println!("{name}: {device}");
        match &device.unusable {
            Some(why) => println!("  cannot be used: {why}"),
            None => usable &= kernels(ordinal, device.capability),
        }
    }
    let (device, why) = Device::auto();
    println!("--device auto computes on {device}{}", why.map_or(String::new(), |why| format!(": {why}")));
    if usable { Ok(()) } else { Err(Failure::Run("not all kernels load on all GPUs, see above".into())) }
}

/// Prints which kernels load on a device. Returns whether all supported kernels load.
fn kernels(ordinal: usize, capability: (i32, i32)) -> bool {
    let (mut all, mut whole) = (true, Duration::ZERO);
    for &family in Family::ALL {
        let (major, minor) = family.capability();
        if capability < (major, minor) {
            println!("  kernels {:<18} skipped: they require compute capability {major}.{minor}", family.name());
            continue;
        }
        match cuda::try_load(ordinal, family) {
            Ok(Ok(took)) => {
                whole += took;
                println!("  kernels {:<18} load in {:.2} s", family.name(), took.as_secs_f64());
            }
            Ok(Err(why)) => {
                all = false;
                println!("  kernels {:<18} do not load: {why}; update NVIDIA's driver to 535 or newer", family.name());
            }
            Err(error) => {
                println!("  {error}");
                return false;
            }
        }
    }
    if all {
        let seconds = whole.as_secs_f64();
        println!(
            "  all kernels load in {seconds:.1} s; a program loads those it uses, and the driver caches what it compiled"
        );
    }
    if let Ok(stats) = cuda::stats(ordinal) {
        println!("  memory free: {:.1} GiB", stats.free as f64 / f64::from(1 << 30));
    }
    all
}
