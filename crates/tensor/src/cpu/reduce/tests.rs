//! Reductions against plain sums in `f64`.

use super::*;
use crate::cpu::simd::at_each_level;
use crate::parallel::with_threads;
use crate::tensor::{Tensor, Tensor64};

/// The fold of `x` along the marked axes, element by element in f64.
fn reference(x: &Tensor, axes: &[bool], first: f64, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let shape = x.shape();
    let out = (0..shape.rank()).filter(|&a| axes[a]).fold(shape, |s, a| s.with(a, 1));
    let mut y = vec![first; out.numel()];
    for i in 0..shape.numel() {
        let (mut rest, mut place, mut size) = (i, 0, 1);
        let mut index = vec![0; shape.rank()];
        for a in (0..shape.rank()).rev() {
            index[a] = rest % shape[a];
            rest /= shape[a];
            if !axes[a] {
                place += index[a] * size;
                size *= shape[a];
            }
        }
        y[place] = f(y[place], f64::from(x.at(&index)));
    }
    y
}

fn check(x: &Tensor) {
    let rank = x.rank();
    for mask in 0..1 << rank {
        let axes: Vec<bool> = (0..rank).map(|a| mask >> a & 1 == 1).collect();
        let got = sum(x, &axes);
        let want = reference(x, &axes, 0.0, |a, b| a + b);
        let size = reference(x, &axes, 0.0, |a, b| a + b.abs());
        assert_eq!(got.numel(), want.len());
        for ((got, want), size) in got.to_vec().into_iter().zip(want).zip(size) {
            assert!((f64::from(got) - want).abs() <= 2e-6 * size, "sum of {:?} along {axes:?}", x.layout());
        }
        if x.numel() > 0 {
            let high = reference(x, &axes, f64::NEG_INFINITY, f64::max);
            assert_eq!(max(x, &axes).to_f64().to_vec(), high, "max of {:?} along {axes:?}", x.layout());
            let low = reference(x, &axes, f64::INFINITY, f64::min);
            assert_eq!(min(x, &axes).to_f64().to_vec(), low, "min of {:?} along {axes:?}", x.layout());
        }
    }
}

fn noise(shape: impl Into<crate::shape::Shape>) -> Tensor {
    Tensor::from_fn(shape, |i| ((i * 2_654_435_761) % 20_011) as f32 / 10_000.0 - 1.0)
}

#[test]
fn every_set_of_axes_in_every_layout() {
    for shape in [[3, 4, 5, 7], [1, 1, 1, 1], [2, 1, 70, 1], [70, 2, 3, 300], [2, 0, 3, 1]] {
        let x = noise(shape);
        check(&x);
        check(&x.channels_last());
        check(&x.permute(&[3, 1, 0, 2]));
        if x.numel() > 0 {
            check(&x.slice(3, shape[3] - 1, shape[3].div_ceil(2), -1).slice(0, 0, shape[0].div_ceil(2), 2));
        }
    }
    check(&noise([5, 1, 3]).broadcast_to([5, 40, 3]));
    check(&noise([1, 40]).broadcast_to([70, 40]));
    check(&Tensor::scalar(3.0));
    check(&noise(70_001));
}

#[test]
fn sums_to_one_axis_have_the_bits_of_sums_along_the_others() {
    for shape in [[3, 4, 5, 7], [1, 1, 1, 1], [5, 1, 1, 1], [1, 1, 1, 5], [1, 2, 16, 8], [1, 3, 11, 2], [2, 0, 3, 1]] {
        let x = noise(shape);
        let negative_zeros = Tensor::from_fn(shape, |_| -0.0);
        let reversed = if x.numel() > 0 { x.slice(3, shape[3] - 1, shape[3], -1) } else { x.clone() };
        for x in [&x, &x.channels_last(), &x.permute(&[3, 1, 0, 2]), &reversed, &negative_zeros] {
            for axis in 0..4 {
                let others: Vec<bool> = (0..4).map(|a| a != axis).collect();
                let bits = |sums: &Tensor| sums.to_vec().into_iter().map(f32::to_bits).collect::<Vec<_>>();
                let sums = sum_to_axis(x, axis);
                assert_eq!(*sums.shape(), [x.shape()[axis]]);
                assert_eq!(bits(&sums), bits(&sum(x, &others)), "{:?} to axis {axis}", x.layout());
            }
        }
    }
}

#[test]
fn what_is_cut_into_chunks_is_right() {
    check(&noise([3, 70_001]));
    check(&noise([7_001, 30]));
    check(&noise([2, 3, 40_000]).permute(&[1, 0, 2]));
}

#[test]
fn empty_sums_are_zero() {
    assert_eq!(sum(&Tensor::zeros([2, 0]), &[false, true]).to_vec(), [0.0, 0.0]);
    assert_eq!(sum(&Tensor::zeros([0]), &[true]).to_vec(), [0.0]);
}

#[test]
fn nan_wins() {
    for place in [0, 1, 40, 99] {
        let x = Tensor::from_fn([100, 3], |i| if i / 3 == place { f32::NAN } else { i as f32 });
        for axes in [[true, false], [true, true]] {
            assert!(max(&x, &axes).to_vec().iter().all(|y| y.is_nan()));
            assert!(min(&x, &axes).to_vec().iter().all(|y| y.is_nan()));
        }
    }
    assert_eq!(max(&TensorOf::<u8>::from([3, 200, 7]), &[true]).item(), 200);
    assert_eq!(min(&TensorOf::<i32>::from([3, -200, 7]), &[true]).item(), -200);
}

#[test]
fn errors_grow_as_in_pairwise_summation() {
    let n = 1 << 20;
    for x in [Tensor::full(n, 0.1), Tensor::full([n / 4, 4], 0.1)] {
        let total = sum(&x, &[true, true][..x.rank()]).item();
        let exact = f64::from(0.1f32) * n as f64;
        assert!((f64::from(total) - exact).abs() < 1e-6 * exact, "{total} instead of {exact}");
    }
    let columns = sum(&Tensor::full([n / 4, 4], 0.1), &[true, false]).to_vec();
    let exact = f64::from(0.1f32) * (n / 4) as f64;
    assert!(columns.iter().all(|&y| (f64::from(y) - exact).abs() < 1e-6 * exact), "{columns:?}");
}

#[test]
fn every_level_and_number_of_threads_gives_the_same_bits() {
    let all = || {
        let mut bits = Vec::new();
        for x in [noise([300_000]), noise([5, 70_000]), noise([40_000, 7]), noise([64, 8, 13, 13])] {
            for mask in 1..1 << x.rank() {
                let axes: Vec<bool> = (0..x.rank()).map(|a| mask >> a & 1 == 1).collect();
                bits.extend(sum(&x, &axes).to_vec().into_iter().map(f32::to_bits));
            }
        }
        bits
    };
    let one = with_threads(1, all);
    assert!(with_threads(3, all) == one);
    at_each_level(|level| assert!(all() == one, "{level:?}"));
    let wide = Tensor64::arange(100_001);
    assert_eq!(sum(&wide, &[true]).item(), 5_000_050_000.0);
}
