//! What the machine can do at best: the two lines of a roofline.

use std::hint::black_box;
use std::time::Instant;

#[cfg(target_arch = "x86_64")]
use crate::cpu::simd::{Level, level};
use crate::cpu::simd::{Registers, Tiled, Vector, dispatch_tiled};
use crate::parallel::{Disjoint, parallel_for, threads};

/// The vector instructions that the processor's kernels use here.
pub fn features() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    return match level() {
        Level::Avx512 => "AVX-512",
        Level::Avx2 => "AVX2 and FMA",
        Level::Portable => "SSE2",
    };
    #[cfg(not(target_arch = "x86_64"))]
    return if cfg!(target_arch = "aarch64") { "NEON" } else { "what the compiler makes of the portable code" };
}

/// The most floating-point operations a second in `f32`, an addition and a multiplication counted each, on as many
/// threads as kernels use: measured on chains of multiply-adds that stay in registers, the best of several runs.
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

/// The most bytes a second that memory beyond the caches takes and gives, on as many threads as kernels use: measured on
/// `y = 2·x` over 64 MiB arrays, reading and writing counted each (not what a write reads first), the best of several runs.
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

/// The best of several runs' work by its seconds.
fn best_rate(mut run: impl FnMut() -> f64) -> f64 {
    let rate = |_| {
        let start = Instant::now();
        run() / start.elapsed().as_secs_f64()
    };
    (0..15).map(rate).fold(0.0, f64::max)
}

/// As many chains as hide the latency of a multiply-add on every processor so far, and fit into 16 registers.
const CHAINS: usize = 12;

fn flops_of_a_round() -> usize {
    struct Lanes;
    impl Tiled for Lanes {
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
        // No lower bounds: nobody knows how slow a machine may be, or how busy.
        assert!((1.0..1e16).contains(&super::peak_flops()));
        assert!((1.0..1e14).contains(&super::peak_bandwidth()));
    }
}
