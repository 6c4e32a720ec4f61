//! The time of operations by size.

use std::time::Instant;

use chainrule_distributed::{Buffer, Communicator};
use chainrule_tensor::Tensor;

use crate::{Ended, connected, gpu, succeeded};

/// Each is done so many times.
const TIMES: usize = 20;

pub fn measure() {
    let nccl = connected();
    println!("\nspeed {}", nccl.engine());
    for kib in [4, 64, 1024, 4096, 16384, 65536] {
        let x = Buffer::F32(Tensor::full_on(gpu(), kib * 256, 1.0));
        let microseconds = |operation: &dyn Fn()| {
            operation();
            nccl.barrier().expect("all ranks take part");
            let begun = Instant::now();
            (0..TIMES).for_each(|_| operation());
            begun.elapsed().as_secs_f64() * 1e6 / TIMES as f64
        };
        let reduce = microseconds(&|| drop(nccl.all_reduce(x.clone()).wait().expect("all ranks take part")));
        let gather = microseconds(&|| drop(nccl.all_gather(x.clone()).wait().expect("all ranks take part")));
        // Queued one behind the other: what overlapping with the backward pass pays.
        let queued = microseconds(&|| {
            let pending: Vec<_> = (0..4).map(|_| nccl.all_reduce(x.clone())).collect();
            for pending in pending {
                pending.wait().expect("all ranks take part");
            }
        }) / 4.0;
        println!(
            "speed {kib:>6} KiB: all-reduce {reduce:9.1} µs, of four queued {queued:9.1} µs; all-gather {gather:9.1} µs"
        );
    }
}

pub fn print(all: &[Ended]) {
    succeeded(all);
    all[0].text.lines().filter(|line| line.starts_with("speed ")).for_each(|line| println!("{line}"));
}
