//! Batch normalization in blocks of channels: all passes over a block of channels while it is in the cache.

use std::ops::Range;

use super::format::{Format, GRAIN, MapRows, Planes};
use super::functions::{Deviation, Gradient, InputGradient, Map, Term, Value};
use super::lanes::{ROWS_OF_1, ROWS_OF_2};
use super::{gradient_constants, inverse_deviation, moments_about};
use crate::cpu::simd::dispatch;
use crate::element::Float;
use crate::parallel::{Disjoint, parallel_for, threads};

/// The target number of contiguous elements per image in a block of adjacent channels.
const RUN: usize = 1024;
/// The maximum number of channels in a block.
const MAX_CHANNELS: usize = 64;

/// The number of adjacent channels in a block; `None` if there are too few channels for all threads to have work.
pub(super) fn block(format: &Format) -> Option<usize> {
    let Planes { channels, plane, .. } = format.planes;
    if format.channels_last || plane == 0 {
        return None;
    }
    let tasks = if format.count() * channels <= GRAIN { 1 } else { 4 * threads() };
    let block = (RUN / plane).min(channels / tasks).clamp(1, MAX_CHANNELS);
    let blocks = channels.div_ceil(block);
    (blocks >= tasks || blocks.is_multiple_of(threads())).then_some(block)
}

/// Calls `body` with ranges of blocks.
pub(super) fn for_blocks(format: &Format, block: usize, body: impl Fn(Range<usize>) + Sync) {
    let elements = (block * format.count()).max(1);
    parallel_for(format.channels().div_ceil(block), (GRAIN / elements).max(1), body);
}

/// P constants for each channel of a block: row p holds the p-th constant of all channels.
struct Constants<T, const P: usize>([[T; MAX_CHANNELS]; P]);

impl<T: Float, const P: usize> Constants<T, P> {
    fn new() -> Self {
        Self([[T::ZERO; MAX_CHANNELS]; P])
    }

    fn set(&mut self, channel: usize, constants: [T; P]) {
        for (row, constant) in self.0.iter_mut().zip(constants) {
            row[channel] = constant;
        }
    }

    fn rows(&self) -> [&[T]; P] {
        self.0.each_ref().map(|row| &row[..])
    }
}

/// The forward pass: the statistics, then the map.
pub(super) struct Forward<'a, 'y, T, F, const I: usize> {
    pub(super) planes: Planes,
    pub(super) block: usize,
    /// The range of blocks of channels.
    pub(super) channels: Range<usize>,
    pub(super) x: [&'a [T]; I],
    pub(super) gamma: &'a [T],
    pub(super) beta: &'a [T],
    pub(super) eps: T,
    pub(super) f: F,
    pub(super) out: &'a [Disjoint<'y, T>; 1],
    /// The mean, the variance and 1/√(var + ε) of each channel.
    pub(super) statistics: &'a [Disjoint<'y, T>; 3],
}

impl<T: Float, F: Map<T, I, 3, 1>, const I: usize> Forward<'_, '_, T, F, I> {
    pub(super) fn run(self) {
        let Self { planes, x, f, out, .. } = self;
        let count = T::from_f64((planes.images * planes.plane) as f64);
        let mut constants = Constants::new();
        for block in self.channels {
            let channels = block * self.block..((block + 1) * self.block).min(planes.channels);
            for c in channels.clone() {
                let [sum] = planes.channel_sums::<T, 1, 1, ROWS_OF_1>([x[0]], T::ZERO, Value, c);
                let center = sum / count;
                let sums = planes.channel_sums::<T, 1, 2, ROWS_OF_2>([x[0]], center, Deviation, c);
                let [mean, variance] = moments_about(center, sums, count);
                let istd = inverse_deviation(variance, self.eps);
                for (row, value) in self.statistics.iter().zip([mean, variance, istd]) {
                    // SAFETY: each channel belongs to one task.
                    unsafe { row.ptr(c).write(value) };
                }
                constants.set(c - channels.start, [mean, self.gamma[c] * istd, self.beta[c]]);
            }
            dispatch(MapRows {
                channels_last: false,
                planes,
                first: channels.start,
                rows: channels,
                images: planes.images,
                x,
                constants: constants.rows(),
                f,
                out,
            });
        }
    }
}

/// The backward pass: the sums for dβ and dγ, then dx.
pub(super) struct Backward<'a, 'y, T, const I: usize, const O: usize> {
    pub(super) planes: Planes,
    pub(super) block: usize,
    /// The range of blocks of channels.
    pub(super) channels: Range<usize>,
    /// dy, x, and y if relu was applied.
    pub(super) inputs: [&'a [T]; I],
    /// The mean, 1/√(var + ε) and γ of each channel.
    pub(super) of_channel: [&'a [T]; 3],
    pub(super) out: &'a [Disjoint<'y, T>; O],
    /// dγ and dβ.
    pub(super) gradients: &'a [Disjoint<'y, T>; 2],
}

impl<T: Float, const I: usize, const O: usize> Backward<'_, '_, T, I, O>
where
    Gradient: Term<T, I, 2>,
    InputGradient: Map<T, I, 4, O>,
{
    pub(super) fn run(self) {
        let Self { planes, inputs: x, out, .. } = self;
        let count = T::from_f64((planes.images * planes.plane) as f64);
        let mut constants = Constants::new();
        for block in self.channels {
            let channels = block * self.block..((block + 1) * self.block).min(planes.channels);
            for c in channels.clone() {
                let of_channel = self.of_channel.map(|of_channel| of_channel[c]);
                let sums = planes.channel_sums::<T, I, 2, ROWS_OF_2>(x, of_channel[0], Gradient, c);
                let (of_map, dgamma) = gradient_constants(sums, of_channel, count);
                constants.set(c - channels.start, of_map);
                for (row, value) in self.gradients.iter().zip([dgamma, sums[0]]) {
                    // SAFETY: each channel belongs to one task.
                    unsafe { row.ptr(c).write(value) };
                }
            }
            dispatch(MapRows {
                channels_last: false,
                planes,
                first: channels.start,
                rows: channels,
                images: planes.images,
                x,
                constants: constants.rows(),
                f: InputGradient,
                out,
            });
        }
    }
}
