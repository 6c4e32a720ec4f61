//! The time of each direction of single convolutions on a GPU, as `scripts/torch_gpu.py convolutions` has cuDNN's: one
//! JSON object a line. 200 calls are recorded as one graph: the 20 to 30 µs in which the host launches it, copies a value and
//! waits are then at most 0.15 µs of a call, as little as between the CUDA events that time cuDNN.
//!
//! `cargo bench -p chainrule-benches --bench gpu_layers [-- [BATCH] [once]]`; with `once` each direction is computed once and
//! not timed, for a profiler.

use std::time::Instant;

use chainrule_tensor::cuda::{GraphMemory, Precision, set_precision, stats};
use chainrule_tensor::{Conv2dOptions, Device, Key, Purpose, Tensor};

const GPU: Device = Device::Cuda(0);
/// Calls of a graph, and timed replays; the median is reported.
const CALLS: usize = 200;
const REPLAYS: usize = 7;
/// C, side of the image, O, side of the kernel, stride.
const LAYERS: [[usize; 5]; 13] = [
    [3, 32, 64, 3, 1],
    [64, 32, 64, 3, 1],
    [64, 32, 128, 3, 2],
    [128, 16, 128, 3, 1],
    [128, 16, 256, 3, 2],
    [256, 8, 256, 3, 1],
    [256, 8, 512, 3, 2],
    [512, 4, 512, 3, 1],
    [64, 32, 128, 1, 2],
    [128, 16, 256, 1, 2],
    [256, 8, 512, 1, 2],
    [1, 28, 8, 3, 1],
    [8, 14, 16, 3, 1],
];

fn main() {
    if let Err(error) = GPU.ready() {
        println!("{error}");
        return;
    }
    let once = std::env::args().any(|argument| argument == "once");
    let batch = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(512);
    for layer in LAYERS {
        for (name, precision) in [("fp32", Precision::Fp32), ("tf32", Precision::Tf32), ("bf16", Precision::Bf16)] {
            set_precision(precision);
            convolution(layer, batch, name, once);
        }
    }
}

fn convolution([c, side, o, kernel, stride]: [usize; 5], batch: usize, precision: &str, once: bool) {
    let options = Conv2dOptions { stride: [stride; 2], ..Conv2dOptions::padded(kernel / 2) };
    let random = |salt, shape: [usize; 4]| Tensor::random_normal_on(GPU, Key::new(salt, Purpose::USER), shape);
    let x = as_stored(&random(1, [batch, c, side, side]));
    let w = random(2, [o, c, kernel, kernel]).channels_last();
    let dy = as_stored(&random(3, *x.conv2d(&w, None, options).shape().first_chunk().expect("four axes")));
    let flops = 2.0 * (dy.numel() * c * kernel * kernel) as f64;
    let name = format!("{c}x{side}x{side} {o} {kernel}x{kernel}/{stride}");
    let report = |direction: &str, call: &dyn Fn() -> Tensor| {
        if once {
            return drop(call());
        }
        let seconds = time(call);
        println!(
            r#"{{"layer": "{name}", "batch": {batch}, "direction": "{direction}", "precision": "{precision}", "microseconds": {:.2}, "tflops": {:.2}}}"#,
            1e6 * seconds,
            flops / seconds / 1e12
        );
    };
    report("forward", &|| x.conv2d(&w, None, options));
    report("input gradient", &|| dy.conv2d_input_gradient(&w, [side; 2], options));
    report("weight gradient", &|| x.conv2d_weight_gradient(&dy, [kernel; 2], options));
}

/// Images as a layer in a net gets them, stored as the layer before it left them: here, one that changes nothing. Where a
/// kernel wants them widened, that is done once for all calls, as for the first call in a net.
fn as_stored(x: &Tensor) -> Tensor {
    let channels = x.shape()[1];
    let identity = Tensor::eye(channels).reshape([channels, channels, 1, 1]).to(GPU);
    x.channels_last().conv2d(&identity, None, Conv2dOptions::default())
}

/// The seconds of one call.
fn time(call: &dyn Fn() -> Tensor) -> f64 {
    let memory = GraphMemory::new(0).expect("the GPU was asked");
    let wait = |y: &Tensor| y.narrow(0, 0..1).narrow(1, 0..1).narrow(2, 0..1).narrow(3, 0..1).item();
    // Alone first, so that all the memory is there.
    let y = memory.run(call);
    wait(&y);
    let (graph, last) = memory.record(|| (1..CALLS).fold(call(), |_, _| call()));
    wait(&last);
    let waits = stats(0).expect("the GPU was asked").synchronizations;
    let mut times: Vec<f64> = (0..REPLAYS)
        .map(|_| {
            let start = Instant::now();
            graph.replay(0, 1.0);
            wait(&last);
            start.elapsed().as_secs_f64() / CALLS as f64
        })
        .collect();
    assert_eq!(stats(0).expect("the GPU was asked").synchronizations - waits, REPLAYS as u64, "one wait a replay");
    times.sort_by(f64::total_cmp);
    times[REPLAYS / 2]
}
