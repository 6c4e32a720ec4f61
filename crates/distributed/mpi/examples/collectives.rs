//! Measures the sums over processes that training needs, and fits latency and bandwidth: see docs/distributed.md.
//!
//! ```text
//! mpirun -n 2 target/release/examples/collectives
//! ```

use std::time::{Duration, Instant};

use chainrule_distributed::{Buffer, Communicator, Pending};
use chainrule_mpi::Mpi;
use chainrule_tensor::Tensor;

/// The sizes of the buffers, in bytes.
const SIZES: [usize; 10] = [1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 21, 1 << 22, 1 << 23, 1 << 24];
/// The measurements of a size, of which the median counts.
const ROUNDS: usize = 15;

/// The median time of an operation on a buffer of so many bytes, in seconds.
fn time(mpi: &Mpi, bytes: usize, start: fn(&Mpi, Buffer) -> Box<dyn Pending + '_>) -> f64 {
    let x = Tensor::ones(bytes / size_of::<f32>());
    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            mpi.barrier().expect("all processes take part");
            let begun = Instant::now();
            start(mpi, Buffer::F32(x.clone())).wait().expect("all processes take part");
            begun.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[ROUNDS / 2]
}

/// The line α + β·n that fits times best, relative to each: a least-squares fit with weights 1/t².
fn fit(times: &[(f64, f64)]) -> (f64, f64) {
    let sum = |f: &dyn Fn(f64, f64) -> f64| times.iter().map(|&(n, t)| f(n, t) / (t * t)).sum::<f64>();
    let (w, n, nn, t, nt) = (sum(&|_, _| 1.0), sum(&|n, _| n), sum(&|n, _| n * n), sum(&|_, t| t), sum(&|n, t| n * t));
    let slope = (w * nt - n * t) / (w * nn - n * n);
    ((t - slope * n) / w, slope)
}

fn main() {
    let mpi = Mpi::new(Duration::from_secs(60)).expect("mpirun starts the processes");
    let first = mpi.rank() == 0;
    let say = |text: String| {
        if first {
            println!("{text}");
        }
    };
    say(format!("{} processes, {}", mpi.size(), mpi.engine()));
    for (name, start) in [
        ("all-reduce", (|mpi, x| mpi.all_reduce(x)) as fn(&Mpi, Buffer) -> Box<dyn Pending + '_>),
        ("all-gather", |mpi, x| mpi.all_gather(x)),
    ] {
        let times: Vec<(f64, f64)> = SIZES.iter().map(|&bytes| (bytes as f64, time(&mpi, bytes, start))).collect();
        let (latency, per_byte) = fit(&times);
        say(format!("\n{name}: {:.1} µs + bytes / ({:.2} GB/s)", 1e6 * latency, 1e-9 / per_byte));
        say("      bytes       µs    fitted".into());
        for (bytes, seconds) in times {
            say(format!("{bytes:>11} {:>8.1} {:>9.1}", 1e6 * seconds, 1e6 * (latency + per_byte * bytes)));
        }
    }
    mpi.finish();
}
