//! Measures the limits of the machine: the two lines of a roofline.

use std::hint::black_box;
use std::time::Instant;

#[cfg(target_arch = "x86_64")]
use crate::cpu::simd::{Level, level};
use crate::cpu::simd::{Registers, Tiled, Vector, dispatch_tiled};
use crate::parallel::{Disjoint, parallel_for, threads};

/// The vector instructions that CPU kernels use on this machine.
pub fn features() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    return match level() {
        Level::Avx512 => "AVX-512",
        Level::Avx2 => "AVX2 and FMA",
        Level::Portable => "SSE2",
    };
    #[cfg(not(target_arch = "x86_64"))]
    return if cfg!(target_arch = "aarch64") { "NEON" } else { "portable code" };
}

/// The peak `f32` floating-point operations per second (a multiply-add counts as two) on all kernel threads. Measured on
/// chains of multiply-adds in registers, best of several runs.
pub fn peak_flops() -> f64 {
    const ROUNDS: usize = 200_000;
    let threads = threads();
    best_rate(|| {
        parallel_for(threads, 1, |range| {
            for _ in range {
                dispatch_tiled(Chains(ROUNDS));
            }
        });
        (threads * ROUNDS * flops_of_a_round()) as f64
    })
}

/// The peak memory bandwidth in bytes per second on all kernel threads. Measured on `y = 2·x` over 64 MiB arrays, counting
/// reads and writes (but not the reads that precede a write), best of several runs.
pub fn peak_bandwidth() -> f64 {
    const LEN: usize = 16 << 20;
    let x = vec![1f32; LEN];
    let mut y = vec![0f32; LEN];
    let out = Disjoint::new(&mut y);
    best_rate(|| {
        parallel_for(LEN, LEN / 64, |range| {
            // SAFETY: ranges do not overlap.
            let y = unsafe { out.slice(range.clone()) };
            for (y, x) in y.iter_mut().zip(&x[range]) {
                *y = 2.0 * x;
            }
        });
        (2 * LEN * size_of::<f32>()) as f64
    })
}

/// The best rate (work per second) of several runs.
fn best_rate(mut run: impl FnMut() -> f64) -> f64 {
    let rate = |_| {
        let start = Instant::now();
        run() / start.elapsed().as_secs_f64()
    };
    (0..15).map(rate).fold(0.0, f64::max)
}

/// Enough independent chains to hide the latency of a multiply-add on current processors, few enough for 16 registers.
const CHAINS: usize = 12;

fn flops_of_a_round() -> usize {
    struct Lanes;
    impl Tiled for Lanes {
        type Element = f32;
        type Output = usize;
        #[expect(clippy::inline_always, reason = "work of `dispatch_tiled`")]
        #[inline(always)]
        fn run<R: Registers>(self) -> usize {
            R::F32::LANES
        }
    }
    2 * CHAINS * dispatch_tiled(Lanes)
}

struct Chains(usize);

impl Tiled for Chains {
    type Element = f32;
    type Output = ();

    #[expect(clippy::inline_always, reason = "work of `dispatch_tiled`")]
    #[inline(always)]
    fn run<R: Registers>(self) {
        let (a, b) = (R::F32::splat(black_box(0.999)), R::F32::splat(black_box(0.001)));
        let mut sums = [R::F32::splat(1.0); CHAINS];
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = sum.mul_add(a, b);
            }
        }
        black_box(sums);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn rates_are_plausible() {
        assert!(super::flops_of_a_round().is_power_of_two() || super::flops_of_a_round().is_multiple_of(24));
        // No meaningful lower bounds, since the machine may be slow or busy.
        assert!((1.0..1e16).contains(&super::peak_flops()));
        assert!((1.0..1e14).contains(&super::peak_bandwidth()));
    }
}
