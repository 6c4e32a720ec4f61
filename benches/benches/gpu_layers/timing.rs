//! The time of a call on the GPU. Many calls are recorded as one graph: the 20 to 30 µs in which the host launches it, copies a
//! value and waits are then at most 0.15 µs of a call, as little as between the CUDA events that time cuDNN.

use std::time::Instant;

use chainrule_tensor::Tensor;
use chainrule_tensor::cuda::{GraphMemory, stats};

use crate::GPU;

/// Calls of a graph, and timed replays; the median is reported.
const CALLS: usize = 200;
const REPLAYS: usize = 7;

/// The seconds of one call.
pub fn seconds<R>(mut call: impl FnMut() -> R) -> f64 {
    let memory = GraphMemory::new(0).expect("the GPU was asked");
    let last = Tensor::full_on(GPU, [1], 0.0);
    // Reading a value waits for all work before it.
    let wait = || last.item();
    // Alone first, so that all the memory is there.
    drop(memory.run(&mut call));
    wait();
    let (graph, result) = memory.record(|| {
        for _ in 1..CALLS {
            call();
        }
        call()
    });
    wait();
    let waits = stats(0).expect("the GPU was asked").synchronizations;
    let mut times: Vec<f64> = (0..REPLAYS)
        .map(|_| {
            let start = Instant::now();
            graph.replay(0, 1.0);
            wait();
            start.elapsed().as_secs_f64() / CALLS as f64
        })
        .collect();
    assert_eq!(stats(0).expect("the GPU was asked").synchronizations - waits, REPLAYS as u64, "one wait a replay");
    drop(result);
    times.sort_by(f64::total_cmp);
    times[REPLAYS / 2]
}
