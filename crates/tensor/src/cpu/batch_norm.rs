//! Batch normalisation (Ioffe, Szegedy: "Batch normalization: accelerating deep network training by reducing internal
//! covariate shift", 2015) of x (N,C,…), channel by channel.
//!
//! Sums over a channel are cut into *units* that the shape fixes, each added up in fixed lanes, and the units' sums are
//! added pairwise. So they are accurate, and the same bits on any number of threads.

use std::borrow::Cow;
use std::ops::Range;

use crate::cpu::strided::in_order;
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::{Disjoint, parallel_for};
use crate::shape::{MAX_RANK, Shape};
use crate::tensor::TensorOf;

/// Sums that run side by side along a plane.
const LANES: usize = 16;
/// The most elements of a plane in one unit.
const PIECE: usize = 4096;
/// The most pixels, each with all its channels, in one unit of a channels-last batch.
const PIXELS: usize = 256;
/// The least number of elements worth a task of its own.
const GRAIN: usize = 8 * 1024;

/// The mean and the biased variance of each channel, in two passes.
pub(crate) fn statistics<T: Float>(x: &TensorOf<T>) -> (TensorOf<T>, TensorOf<T>) {
    let format = Format::of(x.layout());
    let values = format.read(x);
    let count = T::from_f64(format.count() as f64);
    let zeros = vec![T::ZERO; format.channels];
    let average = |sums: Vec<T>| -> Vec<T> { sums.into_iter().map(|sum| sum / count).collect() };
    let [sums] = format.sums(&values, &values, &zeros, |x, _, _| [x]);
    let mean = average(sums);
    let [sums] = format.sums(&values, &values, &mean, |x, _, mean| [(x - mean) * (x - mean)]);
    (TensorOf::from(mean), TensorOf::from(average(sums)))
}

/// `y = (x − mean) · scale + shift` in the memory format of x.
pub(crate) fn apply<T: Float>(
    x: &TensorOf<T>,
    mean: &TensorOf<T>,
    scale: &TensorOf<T>,
    shift: &TensorOf<T>,
) -> TensorOf<T> {
    let format = Format::of(x.layout());
    let values = format.read(x);
    let [mean, scale, shift] = [mean, scale, shift].map(|of_channel| in_order(of_channel, &[0]));
    format.map(&values, &values, [&mean, &scale, &shift], |x, _, [mean, scale, shift]| (x - mean) * scale + shift)
}

/// `dβ = Σ dy`, `dγ = istd · Σ dy·(x − mean)`, `dx = γ·istd · (dy − dβ/m − (x − mean) · istd·dγ/m)`, m being the number
/// of elements of a channel: one pass for the sums and one for dx, which has the memory format of x.
pub(crate) fn backward<T: Float>(
    dy: &TensorOf<T>,
    x: &TensorOf<T>,
    mean: &TensorOf<T>,
    istd: &TensorOf<T>,
    gamma: &TensorOf<T>,
) -> (TensorOf<T>, TensorOf<T>, TensorOf<T>) {
    let format = Format::of(x.layout());
    let (gradients, values) = (format.read(dy), format.read(x));
    let [mean, istd, gamma] = [mean, istd, gamma].map(|of_channel| in_order(of_channel, &[0]));
    let [dbeta, mut dgamma] = format.sums(&gradients, &values, &mean, |dy, x, mean| [dy, dy * (x - mean)]);
    for (sum, &istd) in dgamma.iter_mut().zip(&*istd) {
        *sum *= istd;
    }
    let count = T::from_f64(format.count() as f64);
    let factor: Vec<T> = gamma.iter().zip(&*istd).map(|(&gamma, &istd)| gamma * istd).collect();
    let level: Vec<T> = dbeta.iter().map(|&dbeta| dbeta / count).collect();
    let slope: Vec<T> = dgamma.iter().zip(&*istd).map(|(&dgamma, &istd)| istd * dgamma / count).collect();
    let dx =
        format.map(&gradients, &values, [&mean, &factor, &level, &slope], |dy, x, [mean, factor, level, slope]| {
            factor * (dy - level - (x - mean) * slope)
        });
    (dx, TensorOf::from(dgamma), TensorOf::from(dbeta))
}

/// In which order a batch is walked: as (N, C, spatial), or channels-last as (N · spatial, C).
struct Format {
    shape: Shape,
    order: [usize; MAX_RANK],
    channels_last: bool,
    images: usize,
    channels: usize,
    /// The elements of one channel of one image.
    plane: usize,
}

impl Format {
    /// The order in which the batch lies in memory, or if it lies in neither, (N, C, spatial).
    fn of(layout: &Layout) -> Self {
        let (shape, strides) = (layout.shape(), layout.strides());
        let plane: usize = shape[2..].iter().product();
        let farther = |a: usize| shape[a] == 1 || strides[a].abs() > 1;
        let beside = shape[1] > 1 && strides[1] == 1 && (2..shape.rank()).all(farther);
        // A row of channels without planes is walked best along the channels.
        let channels_last = plane == 1 || beside;
        let mut order = [0; MAX_RANK];
        for (axis, slot) in order.iter_mut().enumerate() {
            *slot = axis;
        }
        if channels_last {
            order[1..shape.rank()].rotate_left(1);
        }
        Self { shape, order, channels_last, images: shape[0], channels: shape[1], plane }
    }

    /// The elements of each channel.
    fn count(&self) -> usize {
        self.images * self.plane
    }

    fn order(&self) -> &[usize] {
        &self.order[..self.shape.rank()]
    }

    fn read<'a, T: Float>(&self, x: &'a TensorOf<T>) -> Cow<'a, [T]> {
        in_order(x, self.order())
    }

    /// `Σ term(a, b, center of the channel)` over each channel, for each of the K terms.
    fn sums<T: Float, const K: usize>(
        &self,
        a: &[T],
        b: &[T],
        center: &[T],
        term: impl Fn(T, T, T) -> [T; K] + Sync,
    ) -> [Vec<T>; K] {
        let channels = self.channels;
        let pieces = self.plane.div_ceil(PIECE);
        let units = if self.channels_last { self.count().div_ceil(PIXELS) } else { self.images * pieces };
        // One row of channels for each unit and term.
        let mut partial = vec![T::ZERO; units * K * channels];
        let parts = Disjoint::new(&mut partial);
        if self.channels_last {
            parallel_for(units, (GRAIN / (PIXELS * channels).max(1)).max(1), |range| {
                for unit in range {
                    let pixels = unit * PIXELS * channels..((unit + 1) * PIXELS).min(self.count()) * channels;
                    // SAFETY: each unit has a place of its own.
                    let out = unsafe { parts.slice(unit * K * channels..(unit + 1) * K * channels) };
                    let mut rows = out.chunks_exact_mut(channels);
                    let mut rows: [&mut [T]; K] = std::array::from_fn(|_| rows.next().expect("a row for each term"));
                    for (a, b) in a[pixels.clone()].chunks_exact(channels).zip(b[pixels].chunks_exact(channels)) {
                        for (c, ((&a, &b), &center)) in a.iter().zip(b).zip(center).enumerate() {
                            for (row, term) in rows.iter_mut().zip(term(a, b, center)) {
                                row[c] += term;
                            }
                        }
                    }
                }
            });
        } else {
            parallel_for(units * channels, (GRAIN / self.plane.clamp(1, PIECE)).max(1), |range| {
                for job in range {
                    // Neighbouring channels follow each other, so that small planes are read along memory.
                    let (unit, c) = (job / channels, job % channels);
                    let (image, piece) = (unit / pieces, unit % pieces);
                    let start = (image * channels + c) * self.plane;
                    let place = start + piece * PIECE..start + ((piece + 1) * PIECE).min(self.plane);
                    let sums = lane_sums(&a[place.clone()], &b[place], |a, b| term(a, b, center[c]));
                    for (k, sum) in sums.into_iter().enumerate() {
                        let at = (unit * K + k) * channels + c;
                        // SAFETY: each channel of each unit has a place of its own.
                        unsafe { parts.ptr(at).write(sum) };
                    }
                }
            });
        }
        std::array::from_fn(|k| {
            (0..channels).map(|c| pairwise(0..units, &|u| partial[(u * K + k) * channels + c])).collect()
        })
    }

    /// The batch of `f(a, b, the channel's constants)`.
    fn map<T: Float, const K: usize>(
        &self,
        a: &[T],
        b: &[T],
        constants: [&[T]; K],
        f: impl Fn(T, T, [T; K]) -> T + Sync,
    ) -> TensorOf<T> {
        let mut out = TensorOf::uninitialised(Layout::dense(self.shape, self.order()));
        let parts = Disjoint::new(out.buffer_mut().0);
        let row = if self.channels_last { self.channels } else { self.plane };
        let constants = constants.map(|of_channel| &of_channel[..self.channels]);
        parallel_for(a.len() / row.max(1), (GRAIN / row.max(1)).max(1), |range| {
            for i in range {
                let place = i * row..(i + 1) * row;
                let (a, b) = (&a[place.clone()], &b[place.clone()]);
                // SAFETY: rows do not overlap.
                let out = unsafe { parts.slice(place) }.iter_mut().zip(a).zip(b);
                if self.channels_last {
                    for (c, ((out, &a), &b)) in out.enumerate() {
                        *out = f(a, b, constants.map(|of_channel| of_channel[c]));
                    }
                } else {
                    let constants = constants.map(|of_channel| of_channel[i % self.channels]);
                    for ((out, &a), &b) in out {
                        *out = f(a, b, constants);
                    }
                }
            }
        });
        out
    }
}

/// `Σ term(a, b)` in lanes, which are then added pairwise.
#[inline]
fn lane_sums<T: Float, const K: usize>(a: &[T], b: &[T], term: impl Fn(T, T) -> [T; K]) -> [T; K] {
    let mut lanes = [[T::ZERO; LANES]; K];
    let mut add = |a: &[T], b: &[T]| {
        for (l, (&a, &b)) in a.iter().zip(b).enumerate() {
            for (lanes, term) in lanes.iter_mut().zip(term(a, b)) {
                lanes[l] += term;
            }
        }
    };
    let (whole_a, whole_b) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in whole_a.0.iter().zip(whole_b.0) {
        add(a, b);
    }
    add(whole_a.1, whole_b.1);
    lanes.map(|lanes| pairwise(0..LANES, &|l| lanes[l]))
}

/// The sum of the numbers of a range, halved again and again.
fn pairwise<T: Float>(range: Range<usize>, x: &impl Fn(usize) -> T) -> T {
    match range.len() {
        0 => T::ZERO,
        1 => x(range.start),
        n => {
            let middle = range.start + n / 2;
            pairwise(range.start..middle, x) + pairwise(middle..range.end, x)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::images::testing::{elements, layouts};
    use crate::parallel::with_threads;

    fn close<T: Float>(a: &TensorOf<T>, b: &[f64], tolerance: f64) {
        let a = elements(a);
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a.to_f64() - b).abs() <= tolerance * b.abs().max(1.0), "{a:?} {b:?}");
        }
    }

    /// Batches of every layout, with and without planes.
    fn batches<T: Float>(seed: u64) -> Vec<TensorOf<T>> {
        let shapes = [[4, 3, 5, 7], [300, 5, 1, 1], [2, 1, 3, 4], [1, 3, 70, 61], [3, 17, 1, 2]];
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

    fn check<T: Float>(tolerance: f64) {
        for (x, dy) in batches::<T>(1).into_iter().zip(batches::<T>(2)) {
            let [mean, variance] = moments(&x);
            let result = statistics(&x);
            close(&result.0, &mean, tolerance);
            close(&result.1, &variance, tolerance);

            let [scale, shift] = [of_channels(&x, |c| 0.5 + c / 8.0), of_channels(&x, |c| c / 4.0 - 1.0)];
            let values: Vec<f64> = elements(&x).iter().map(|x| x.to_f64()).collect();
            let gradients: Vec<f64> = elements(&dy).iter().map(|dy| dy.to_f64()).collect();
            let places = channels(x.shape());
            let expected: Vec<f64> = values
                .iter()
                .zip(&places)
                .map(|(x, &c)| (x - mean[c]) * (0.5 + c as f64 / 8.0) + c as f64 / 4.0 - 1.0)
                .collect();
            close(&apply(&x, &result.0, &scale, &shift), &expected, tolerance);

            let istd: Vec<f64> = variance.iter().map(|v| 1.0 / (v + 0.1).sqrt()).collect();
            let count = (x.numel() / mean.len()) as f64;
            let normal = |i: usize| (values[i] - mean[places[i]]) * istd[places[i]];
            let dbeta = means(x.shape(), gradients.iter().copied());
            let dgamma = means(x.shape(), (0..values.len()).map(|i| gradients[i] * normal(i)));
            let dx: Vec<f64> = (0..values.len())
                .map(|i| (i, places[i]))
                .map(|(i, c)| (0.5 + c as f64 / 8.0) * istd[c] * (gradients[i] - dbeta[c] - normal(i) * dgamma[c]))
                .collect();
            let istd = of_channels(&x, |c| istd[c as usize]);
            let result = backward(&dy, &x, &result.0, &istd, &scale);
            close(&result.0, &dx, 4.0 * tolerance);
            let sums = |means: &[f64]| -> Vec<f64> { means.iter().map(|mean| mean * count).collect() };
            close(&result.1, &sums(&dgamma), 100.0 * tolerance);
            close(&result.2, &sums(&dbeta), 100.0 * tolerance);
        }
    }

    #[test]
    fn agrees_with_the_formulas_on_every_layout() {
        check::<f32>(2e-6);
        // The reference adds one after the other, and so errs more than the kernel.
        check::<f64>(4e-14);
    }

    #[test]
    fn a_large_mean_does_not_drown_the_variance() {
        // 1000 ± 1/8: E(x²) − E(x)² has no digit left in f32.
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
        for (x, last) in layouts::<f32>([5, 12, 40, 41], 3).into_iter().zip([false, true]) {
            let all = || {
                let (mean, variance) = statistics(&x);
                let y = apply(&x, &mean, &variance, &mean);
                let (dx, dgamma, dbeta) = backward(&y, &x, &mean, &variance, &mean);
                [mean, variance, dgamma, dbeta, y, dx]
            };
            let (one, three) = (with_threads(1, all), with_threads(3, all));
            for (one, three) in one.iter().zip(&three) {
                assert!(elements(one) == elements(three));
            }
            assert!(one[4..].iter().all(|y| (y.layout().strides()[1] == 1) == last));
        }
    }
}
