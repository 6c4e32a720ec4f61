//! The times of single layers on a GPU: one JSON object a line. `convolutions` are those that `scripts/torch_gpu.py
//! convolutions` has cuDNN's of, `passes` are what else a training step consists of.
//!
//! `cargo bench -p chainrule-benches --bench gpu_layers [-- [BATCH] [once] [FILTER]..]`; with `once` each is computed once and
//! not timed, for a profiler. A measurement is made if each filter, or one of its comma-separated parts, is contained in its
//! description, such as "128x16x16 128 3x3/1 forward bf16" or "batch norm and relu 64x32x32 fp32".

mod convolutions;
mod passes;
mod timing;

use chainrule_tensor::cuda::{Precision, set_precision};
use chainrule_tensor::{Conv2dOptions, Device, Epilogue, Key, Purpose, Shape, Tensor};

const GPU: Device = Device::Cuda(0);

/// What to measure, and how.
struct Plan {
    batch: usize,
    once: bool,
    filters: Vec<String>,
}

impl Plan {
    fn from_arguments() -> Self {
        let mut plan = Self { batch: 512, once: false, filters: Vec::new() };
        // Cargo adds the option --bench.
        for argument in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
            match argument.parse() {
                Ok(batch) => plan.batch = batch,
                Err(_) if argument == "once" => plan.once = true,
                Err(_) => plan.filters.push(argument),
            }
        }
        plan
    }

    fn includes(&self, description: &str) -> bool {
        self.filters.iter().all(|filter| filter.split(',').any(|part| description.contains(part)))
    }
}

fn main() {
    if let Err(error) = GPU.ready() {
        println!("{error}");
        return;
    }
    let plan = Plan::from_arguments();
    let precisions = [("fp32", Precision::Fp32), ("tf32", Precision::Tf32), ("bf16", Precision::Bf16)];
    for layer in convolutions::LAYERS {
        for (name, precision) in precisions {
            set_precision(precision);
            convolutions::measure(&plan, layer, name);
        }
    }
    // In TF32, tensors are stored as in `fp32`.
    for (name, precision) in [precisions[0], precisions[2]] {
        set_precision(precision);
        for [channels, side] in passes::IMAGES {
            passes::measure_images(&plan, [channels, side], name);
        }
    }
    passes::measure_steps(&plan);
}

fn random(salt: u64, shape: impl Into<Shape>) -> Tensor {
    Tensor::random_normal_on(GPU, Key::new(salt, Purpose::USER), shape)
}

/// Images as a layer in a net gets them, stored as the layer before it left them, with their channel statistics: here, one that
/// changes nothing. Where a kernel wants them widened, that is done once for all calls, as for the first call in a net.
fn as_stored(x: &Tensor) -> Tensor {
    let channels = x.shape()[1];
    let identity = Tensor::eye(channels).reshape([channels, channels, 1, 1]).to(GPU);
    x.channels_last().conv2d_with(&identity, None, Conv2dOptions::default(), Epilogue::CHANNEL_STATS)
}
