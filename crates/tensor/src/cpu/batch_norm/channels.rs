//! All passes over some channels at once, while they are in the cache.

#![expect(clippy::inline_always, reason = "loops are vectorized where they are inlined into a variant of `dispatch`")]

use std::ops::Range;

use super::format::{Format, GRAIN, Planes};
use super::functions::{Deviation, Gradient, InputGradient, Map, Term, Value};
use super::lanes::{ROWS_OF_1, ROWS_OF_2};
use super::{gradient_constants, inverse_deviation};
use crate::cpu::simd::{Vectorized, dispatch};
use crate::element::Float;
use crate::parallel::{Disjoint, parallel_for, threads};

/// The elements of an image's neighboring channels that are worth walking along memory.
const RUN: usize = 1024;
/// The most channels in a block.
const MAX_CHANNELS: usize = 64;

/// How many neighboring channels to take through all passes together; `None` if there are too few channels to keep all
/// threads at work.
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

/// Runs the work that `of` gives for ranges of blocks.
pub(super) fn for_blocks<V: Vectorized<Output = ()>>(
    format: &Format,
    block: usize,
    of: impl Fn(Range<usize>) -> V + Sync,
) {
    let elements = (block * format.count()).max(1);
    parallel_for(format.channels().div_ceil(block), (GRAIN / elements).max(1), |blocks| dispatch(of(blocks)));
}

/// Statistics, then the map.
pub(super) struct Forward<'a, 'y, T, F, const I: usize> {
    pub(super) planes: Planes,
    pub(super) block: usize,
    /// Blocks of channels.
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

impl<T: Float, F: Map<T, I, 3, 1>, const I: usize> Vectorized for Forward<'_, '_, T, F, I> {
    type Element = T;
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let planes = self.planes;
        let count = T::from_f64((planes.images * planes.plane) as f64);
        let mut constants = [[T::ZERO; 3]; MAX_CHANNELS];
        for block in self.channels {
            let channels = block * self.block..((block + 1) * self.block).min(planes.channels);
            for (c, constants) in channels.clone().zip(&mut constants) {
                let [sum] = planes.channel_sums::<T, 1, 1, ROWS_OF_1>([self.x[0]], T::ZERO, Value, c);
                let mean = sum / count;
                let [sum] = planes.channel_sums::<T, 1, 1, ROWS_OF_1>([self.x[0]], mean, Deviation, c);
                let variance = sum / count;
                let istd = inverse_deviation(variance, self.eps);
                for (row, value) in self.statistics.iter().zip([mean, variance, istd]) {
                    // SAFETY: each channel is given to one task.
                    unsafe { row.ptr(c).write(value) };
                }
                *constants = [mean, self.gamma[c] * istd, self.beta[c]];
            }
            planes.map_channels(self.x, self.out, self.f, channels, &constants);
        }
    }
}

/// The sums for dβ and dγ, then dx.
pub(super) struct Backward<'a, 'y, T, const I: usize, const O: usize> {
    pub(super) planes: Planes,
    pub(super) block: usize,
    /// Blocks of channels.
    pub(super) channels: Range<usize>,
    /// dy, x, and y if there is a gate.
    pub(super) inputs: [&'a [T]; I],
    /// The mean, 1/√(var + ε) and γ of each channel.
    pub(super) of_channel: [&'a [T]; 3],
    pub(super) out: &'a [Disjoint<'y, T>; O],
    /// dγ and dβ.
    pub(super) gradients: &'a [Disjoint<'y, T>; 2],
}

impl<T: Float, const I: usize, const O: usize> Vectorized for Backward<'_, '_, T, I, O>
where
    Gradient: Term<T, I, 2>,
    InputGradient: Map<T, I, 4, O>,
{
    type Element = T;
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let planes = self.planes;
        let count = T::from_f64((planes.images * planes.plane) as f64);
        let mut constants = [[T::ZERO; 4]; MAX_CHANNELS];
        for block in self.channels {
            let channels = block * self.block..((block + 1) * self.block).min(planes.channels);
            for (c, constants) in channels.clone().zip(&mut constants) {
                let of_channel = self.of_channel.map(|of_channel| of_channel[c]);
                let sums = planes.channel_sums::<T, I, 2, ROWS_OF_2>(self.inputs, of_channel[0], Gradient, c);
                let dgamma;
                (*constants, dgamma) = gradient_constants(sums, of_channel, count);
                for (row, value) in self.gradients.iter().zip([dgamma, sums[0]]) {
                    // SAFETY: each channel is given to one task.
                    unsafe { row.ptr(c).write(value) };
                }
            }
            planes.map_channels(self.inputs, self.out, InputGradient, channels, &constants);
        }
    }
}
