//! Gradient clipping: the norm of many tensors, and scaling many tensors.

#![expect(
    clippy::inline_always,
    reason = "loops are vectorized only where they are inlined into a variant of `dispatch`"
)]

use crate::cpu::elementwise::scale;
use crate::cpu::reduce::sum;
use crate::cpu::simd::{Vectorized, dispatch};
use crate::cpu::strided::in_order;
use crate::element::Float;
use crate::parallel::parallel_chunks;
use crate::parameters::optimizer::clip_factor;
use crate::tensor::{Tensor64, TensorOf};

/// The number of elements whose squares are added in lanes; the sums of chunks are added pairwise.
const CHUNK: usize = 4096;
const LANES: usize = 16;
/// The minimum number of elements per task.
const GRAIN: usize = 16 << 10;
/// A sum of squares below or above these may have lost digits or overflowed, and is computed again with scaled elements.
const SAFE: std::ops::RangeInclusive<f64> = 1e-250..=1e300;

/// The sum of the squares of `scale · x`, in f64: squares of f32 would overflow from 1.8e19 on.
struct Squares<'a, T> {
    x: &'a [T],
    scale: f64,
}

impl<T: Float> Vectorized for Squares<'_, T> {
    type Element = T;
    type Output = f64;
    #[inline(always)]
    fn run(self) -> f64 {
        let square = |x: T| (x.to_f64() * self.scale) * (x.to_f64() * self.scale);
        let (whole, rest) = self.x.as_chunks::<LANES>();
        let mut lanes = [0.0; LANES];
        for chunk in whole {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane += square(x);
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(rest) {
            *lane += square(x);
        }
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
        }
        lanes[0]
    }
}

fn sum_of_squares<T: Float>(xs: &[&TensorOf<T>], scale: f64) -> f64 {
    let of_one = |x: &&TensorOf<T>| {
        let (order, rank) = x.layout().memory_order();
        let x = in_order(x, &order[..rank]);
        let mut sums = vec![0.0; x.len().div_ceil(CHUNK)];
        parallel_chunks(&mut sums, 1, GRAIN / CHUNK, |i, sum| {
            sum[0] = dispatch(Squares { x: &x[i * CHUNK..x.len().min((i + 1) * CHUNK)], scale });
        });
        sum(&Tensor64::from(sums), &[true]).item()
    };
    xs.iter().map(of_one).sum()
}

fn largest<T: Float>(xs: &[&TensorOf<T>]) -> f64 {
    let of_one = |x: &&TensorOf<T>| x.to_vec().into_iter().map(|x| x.to_f64().abs()).fold(0.0, f64::max);
    xs.iter().map(of_one).fold(0.0, f64::max)
}

pub(crate) fn norm<T: Float>(xs: &[&TensorOf<T>]) -> TensorOf<f64> {
    let squares = sum_of_squares(xs, 1.0);
    let norm = if SAFE.contains(&squares) || squares.is_nan() {
        squares.sqrt()
    } else {
        let largest = largest(xs);
        if largest > 0.0 && largest.is_finite() {
            // A power of two, so that scaling is exact; the limits keep it and its reciprocal finite.
            let scale = 2f64.powi(-(largest.log2() as i32).clamp(-1000, 1000));
            sum_of_squares(xs, scale).sqrt() / scale
        } else {
            largest
        }
    };
    TensorOf::scalar(norm)
}

pub(crate) fn clip_to_norm<T: Float>(xs: Vec<&mut TensorOf<T>>, norm: &TensorOf<f64>, max_norm: f64) {
    let factor = clip_factor(norm.item(), max_norm);
    if factor < 1.0 {
        for x in xs {
            *x = scale(x, factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::at_each_level;
    use crate::parallel::with_threads;
    use crate::random::{Key, Purpose};
    use crate::tensor::Tensor;

    fn noise<T: Float>(shape: &[usize], seed: u64) -> TensorOf<T> {
        TensorOf::random_normal(Key::new(seed, Purpose::CHECK), shape)
    }

    /// Tensors in various layouts, including an empty one.
    fn several<T: Float>() -> Vec<TensorOf<T>> {
        let x = noise::<T>(&[30, 20, 11], 1);
        let mut all = vec![x.permute(&[2, 0, 1]), x.slice(1, 19, 7, -2), x.narrow(0, 3..4).broadcast_to([5, 20, 11])];
        all.extend([x, noise(&[0, 3], 2), noise(&[70_001], 3), noise(&[], 4)]);
        all
    }

    fn norm_of<T: Float>(xs: &[TensorOf<T>]) -> f64 {
        norm(&xs.iter().collect::<Vec<_>>()).item()
    }

    #[test]
    fn the_norm_of_several_tensors() {
        fn check<T: Float>() {
            let xs = several::<T>();
            let squares: f64 = xs.iter().flat_map(|x| x.to_f64().to_vec()).map(|v| v * v).sum();
            let found = norm_of(&xs);
            assert!((found / squares.sqrt() - 1.0).abs() < 1e-13, "{found} of {squares}");
            for threads in [1, 3] {
                assert_eq!(with_threads(threads, || norm_of(&xs)).to_bits(), found.to_bits());
            }
            at_each_level(|_| assert!((norm_of(&xs) / found - 1.0).abs() < 1e-14));
        }
        check::<f32>();
        check::<f64>();
        assert_eq!(norm_of(&[Tensor::from([3.0, 0.0]), Tensor::scalar(-4.0)]), 5.0);
        assert_eq!(norm_of::<f32>(&[]), 0.0);
    }

    /// Squares that overflow or vanish in the type of the elements, and in f64.
    #[test]
    fn the_norm_of_finite_numbers_is_finite() {
        assert_eq!(norm_of(&[Tensor::from([3e38, -4e37 * 10.0])]), {
            let [a, b] = [3e38f32, -4e37f32 * 10.0].map(f64::from);
            (a * a + b * b).sqrt()
        });
        assert_eq!(norm_of(&[Tensor::from([3e-30, 4e-30])]), {
            let [a, b] = [3e-30f32, 4e-30].map(f64::from);
            (a * a + b * b).sqrt()
        });
        for size in [1e-320, 1e-300, 1e-160, 1e160, 1e307] {
            let found = norm_of(&[Tensor64::from([3.0 * size, 0.0]), Tensor64::scalar(-4.0 * size)]);
            let tolerance = if size == 1e-320 { 1e-3 } else { 1e-15 };
            assert!((found / (5.0 * size) - 1.0).abs() < tolerance, "{found} for {size}");
        }
        assert_eq!(norm_of(&[Tensor64::zeros(3)]), 0.0);
    }

    #[test]
    fn what_is_not_finite_shows() {
        assert!(norm_of(&[Tensor::ones(3), Tensor::from([0.0, f32::NAN])]).is_nan());
        assert!(norm_of(&[Tensor::from([f32::INFINITY, f32::NAN])]).is_nan());
        assert_eq!(norm_of(&[Tensor::ones(3), Tensor::from([0.0, f32::NEG_INFINITY])]), f64::INFINITY);
    }

    #[test]
    fn scaling_rounds_once_and_aliases_keep_their_values() {
        let xs = several::<f32>();
        let before: Vec<Vec<f32>> = xs.iter().map(Tensor::to_vec).collect();
        let mut scaled = xs.clone();
        clip_to_norm(scaled.iter_mut().collect(), &Tensor64::scalar(30.0), 10.0);
        let factor = 10.0 / (30.0 + 1e-6);
        for ((x, y), before) in xs.iter().zip(&scaled).zip(before) {
            assert_eq!(y.shape(), x.shape());
            let expected: Vec<f32> = before.iter().map(|&v| (f64::from(v) * factor) as f32).collect();
            assert_eq!(y.to_vec(), expected);
            assert_eq!(x.to_vec(), before);
        }
    }

    #[test]
    fn a_norm_that_is_not_finite_changes_nothing() {
        for norm in [f64::NAN, f64::INFINITY] {
            let mut x = Tensor::from([1.0, f32::INFINITY, -3.0]);
            clip_to_norm(vec![&mut x], &Tensor64::scalar(norm), 1.0);
            assert_eq!(x.to_vec(), [1.0, f32::INFINITY, -3.0]);
        }
    }
}
