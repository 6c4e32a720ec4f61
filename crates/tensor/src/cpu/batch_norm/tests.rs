//! Compared with the formulas in f64.

use super::*;
use crate::cpu::images::testing::{elements, layouts};
use crate::cpu::simd::at_each_level;
use crate::parallel::with_threads;

#[track_caller]
fn close<T: Float>(a: &TensorOf<T>, b: &[f64], tolerance: f64) {
    let a = elements(a);
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a.to_f64() - b).abs() <= tolerance * b.abs().max(1.0), "{a:?} {b:?}");
    }
}

/// Batches of every layout, with and without spatial axes.
fn batches<T: Float>(seed: u64) -> Vec<TensorOf<T>> {
    let shapes = [
        [4, 3, 5, 7],
        [300, 5, 1, 1],
        [2, 1, 3, 4],
        [1, 3, 70, 61],
        [3, 17, 1, 2],
        [13, 8, 4, 4],
        [21, 2, 8, 8],
        [7, 4, 11, 11],
        [66, 2, 9, 7],
    ];
    let mut all: Vec<_> = shapes.into_iter().flat_map(|shape| layouts(shape, seed)).collect();
    let make = |shape: &[usize]| TensorOf::from_fn(shape, |i| T::from_f64((i * 7 % 23) as f64 - seed as f64));
    all.extend([make(&[300, 5]), make(&[5, 3]).transpose(0, 1), make(&[1, 5]).broadcast_to([4, 5])]);
    all.extend([make(&[4, 3, 9]), make(&[4, 9, 3]).transpose(1, 2), make(&[4, 3, 2, 2, 3])]);
    all
}

/// The channel of each element in row-major order.
fn channels(shape: Shape) -> Vec<usize> {
    let plane: usize = shape[2..].iter().product();
    (0..shape.numel()).map(|i| i / plane % shape[1]).collect()
}

/// The mean over each channel.
fn means(shape: Shape, x: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sums = vec![0.0; shape[1]];
    for (c, x) in channels(shape).into_iter().zip(x) {
        sums[c] += x;
    }
    sums.iter().map(|sum| sum * shape[1] as f64 / shape.numel() as f64).collect()
}

fn moments<T: Float>(x: &TensorOf<T>) -> [Vec<f64>; 2] {
    let values: Vec<f64> = elements(x).iter().map(|x| x.to_f64()).collect();
    let mean = means(x.shape(), values.iter().copied());
    let away = values.iter().zip(channels(x.shape())).map(|(x, c)| (x - mean[c]).powi(2));
    let variance = means(x.shape(), away);
    [mean, variance]
}

fn of_channels<T: Float>(x: &TensorOf<T>, f: impl Fn(f64) -> f64) -> TensorOf<T> {
    TensorOf::from_fn(x.shape()[1], |c| T::from_f64(f(c as f64)))
}

/// The operands of every element in f64, and the expected results.
struct Expected {
    mean: Vec<f64>,
    variance: Vec<f64>,
    /// γ·x̂ + β without and with a residual, both before relu.
    y: [Vec<f64>; 2],
}

const EPS: f64 = 0.1;

fn gamma(c: f64) -> f64 {
    0.5 + c / 8.0
}

fn beta(c: f64) -> f64 {
    c / 4.0 - 1.0
}

fn doubles<T: Float>(x: &TensorOf<T>) -> Vec<f64> {
    elements(x).iter().map(|x| x.to_f64()).collect()
}

fn normal<T: Float>(x: &TensorOf<T>, [mean, variance]: &[Vec<f64>; 2]) -> Vec<f64> {
    let of = |(x, c): (f64, usize)| (x - mean[c]) / (variance[c] + EPS).sqrt();
    doubles(x).into_iter().zip(channels(x.shape())).map(of).collect()
}

fn expected<T: Float>(x: &TensorOf<T>, r: &TensorOf<T>) -> Expected {
    let [mean, variance] = moments(x);
    let xhat = normal(x, &[mean.clone(), variance.clone()]);
    let y: Vec<f64> = xhat.iter().zip(channels(x.shape())).map(|(v, c)| v * gamma(c as f64) + beta(c as f64)).collect();
    let sum = y.iter().zip(doubles(r)).map(|(y, r)| y + r).collect();
    Expected { mean, variance, y: [y, sum] }
}

fn relu(y: &[f64]) -> Vec<f64> {
    y.iter().map(|y| y.max(0.0)).collect()
}

fn check_forward<T: Float>(tolerance: f64) {
    for (x, r) in batches::<T>(1).into_iter().zip(batches::<T>(3)) {
        let e = expected(&x, &r);
        let result = statistics(&x);
        close(&result.0, &e.mean, tolerance);
        close(&result.1, &e.variance, tolerance);
        let istd: Vec<f64> = e.variance.iter().map(|v| 1.0 / (v + EPS).sqrt()).collect();
        let [scale, shift] = [of_channels(&x, gamma), of_channels(&x, beta)];
        let applied = of_channels(&x, |c| gamma(c) * istd[c as usize]);
        for (then, y) in
            [(Epilogue::NONE, e.y[0].clone()), (Epilogue::RELU, relu(&e.y[0])), (Epilogue::add_relu(&r), relu(&e.y[1]))]
        {
            let (result, statistics) = forward(&x, &scale, &shift, EPS, then);
            // The rounding error of a mean of up to 22 is multiplied by γ·istd.
            close(&result, &y, 16.0 * tolerance);
            for (result, expected) in statistics.iter().zip([&e.mean, &e.variance, &istd]) {
                close(result, expected, tolerance);
            }
            close(&apply(&x, &statistics[0], &applied, &shift, then), &y, 16.0 * tolerance);
        }
    }
}

fn check_backward<T: Float>(tolerance: f64) {
    for ((x, dy), r) in batches::<T>(1).into_iter().zip(batches::<T>(2)).zip(batches::<T>(3)) {
        let e = expected(&x, &r);
        let (places, count) = (channels(x.shape()), (x.numel() / e.mean.len()) as f64);
        let istd: Vec<f64> = e.variance.iter().map(|v| 1.0 / (v + EPS).sqrt()).collect();
        let xhat = normal(&x, &[e.mean.clone(), e.variance.clone()]);
        let given = [of_channels(&x, |c| e.mean[c as usize]), of_channels(&x, |c| istd[c as usize])];
        let scale = of_channels(&x, gamma);
        for (y, residual) in [(None, false), (Some(&e.y[0]), false), (Some(&e.y[1]), true)] {
            let dz: Vec<f64> = match y {
                None => doubles(&dy),
                Some(y) => doubles(&dy).iter().zip(y).map(|(&dy, &y)| if y > 0.0 { dy } else { 0.0 }).collect(),
            };
            let dbeta = means(x.shape(), dz.iter().copied());
            let dgamma = means(x.shape(), dz.iter().zip(&xhat).map(|(dz, v)| dz * v));
            let dx: Vec<f64> = (0..dz.len())
                .map(|i| (i, places[i]))
                .map(|(i, c)| gamma(c as f64) * istd[c] * (dz[i] - dbeta[c] - xhat[i] * dgamma[c]))
                .collect();
            // y has another layout than x, as a gradient or a residual may.
            let y = y.map(|y| TensorOf::from_fn(x.shape(), |i| T::from_f64(y[i])));
            let result = backward(&dy, &x, &given[0], &given[1], &scale, y.as_ref(), residual);
            close(&result.0, &dx, 4.0 * tolerance);
            let sums = |means: &[f64]| -> Vec<f64> { means.iter().map(|mean| mean * count).collect() };
            close(&result.1, &sums(&dgamma), 100.0 * tolerance);
            close(&result.2, &sums(&dbeta), 100.0 * tolerance);
            assert_eq!(result.3.as_ref().map(doubles), residual.then_some(dz));
        }
    }
}

#[test]
fn agrees_with_the_formulas_on_every_layout() {
    // With few threads, each runs all passes over its channels; with more threads than channels, each pass is split.
    for threads in [1, 7] {
        with_threads(threads, || {
            check_forward::<f32>(2e-6);
            check_backward::<f32>(2e-6);
            // The reference adds sequentially and so is less accurate than the kernel.
            check_forward::<f64>(4e-14);
            check_backward::<f64>(4e-14);
        });
    }
}

#[test]
fn every_level_gives_the_same_bits() {
    let x = &layouts::<f32>([3, 5, 13, 11], 1)[0];
    let gamma = of_channels(x, gamma);
    let all = || {
        let (y, [mean, variance, istd]) = forward(x, &gamma, &gamma, EPS, Epilogue::add_relu(x));
        let (dx, dgamma, dbeta, dr) = backward(x, x, &mean, &istd, &gamma, Some(&y), true);
        [y, mean, variance, istd, dx, dgamma, dbeta, dr.expect("it was requested")].map(|x| elements(&x))
    };
    let mut seen = Vec::new();
    at_each_level(|_| seen.push(all()));
    assert!(seen.iter().all(|bits| *bits == seen[0]));
}

#[test]
fn relu_stays_at_zero_and_keeps_nan() {
    let x = TensorOf::<f32>::from_slice(&[-1.0, 0.0, 2.0, f32::NAN], [4, 1]);
    let (zero, one) = (TensorOf::zeros(1), TensorOf::ones(1));
    let y = apply(&x, &zero, &one, &zero, Epilogue::RELU).to_vec();
    assert_eq!(y[..3], [0.0, 0.0, 2.0]);
    assert!(y[3].is_nan());
    let y = TensorOf::<f32>::from_slice(&[0.0, 1.0], [2, 1]);
    let dy = TensorOf::<f32>::from_slice(&[3.0, 5.0], [2, 1]);
    let (_, _, dbeta, dr) = backward(&dy, &y, &zero, &one, &one, Some(&y), true);
    assert_eq!((dbeta.item(), dr.expect("it was requested").to_vec()), (5.0, vec![0.0, 5.0]));
}

#[test]
fn running_statistics_move_by_their_share() {
    let (mut mean, mut variance) = (TensorOf::<f64>::full(3, 4.0), TensorOf::<f64>::full(3, 8.0));
    let held = mean.clone();
    track(&mut mean, &mut variance, &TensorOf::zeros(3), &TensorOf::full(3, 2.0), 0.25, 2.0);
    assert_eq!((mean.to_vec(), variance.to_vec()), (vec![3.0; 3], vec![7.0; 3]));
    assert_eq!(held.to_vec(), [4.0; 3], "an alias keeps its value");
}

#[test]
fn a_large_mean_does_not_drown_the_variance() {
    // 1000 ± 1/8: E(x²) − E(x)² would lose all digits in f32.
    for order in [[0, 1, 2, 3], [0, 2, 3, 1]] {
        let x = TensorOf::<f32>::from_fn([8, 8, 8, 8], |i| if i * 37 / 8 % 2 == 0 { 1000.125 } else { 999.875 });
        let [_, variance] = moments(&x.permute(&order));
        let (mean, result) = statistics(&x.permute(&order));
        close(&mean, &[1000.0; 8], 1e-4);
        assert!(elements(&result).iter().zip(variance).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5));
    }
}

#[test]
fn results_keep_the_memory_format_and_do_not_depend_on_threads() {
    for shape in [[5, 12, 40, 41], [70, 3, 8, 8], [40, 33, 4, 4]] {
        for (x, last) in layouts::<f32>(shape, 3).into_iter().zip([false, true]) {
            let all = || {
                let gamma = of_channels(&x, gamma);
                let (y, [mean, variance, istd]) = forward(&x, &gamma, &gamma, EPS, Epilogue::add_relu(&x));
                let (dx, dgamma, dbeta, dr) = backward(&x, &x, &mean, &istd, &gamma, Some(&y), true);
                [mean, variance, istd, dgamma, dbeta, y, dx, dr.expect("it was requested")]
            };
            let one = with_threads(1, all);
            // More threads than channels: another partition of the work.
            for threads in [2, 3, 16] {
                for (one, many) in one.iter().zip(&with_threads(threads, all)) {
                    assert!(elements(one) == elements(many), "{shape:?} on {threads} threads");
                }
            }
            assert!(one[5..].iter().all(|y| (y.layout().strides()[1] == 1) == last));
        }
    }
}
