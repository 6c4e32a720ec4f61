//! The iteration order over a batch, and the passes over it: sums over channels, and maps of all elements.
//!
//! Sums over a channel are split into *units* that depend on the shape alone. Each unit is added in fixed lanes, and the
//! sums of the units are added pairwise. So sums are accurate and give the same bits on any number of threads.

#![expect(clippy::inline_always, reason = "loops are vectorized where they are inlined into a variant of `dispatch`")]

use std::borrow::Cow;
use std::ops::Range;

use super::functions::{Map, Term};
use super::lanes::{LANES, Lanes, Tree, element, map_run, part, parts};
use crate::cpu::simd::{Vectorized, dispatch};
use crate::cpu::strided::in_order;
use crate::element::Float;
use crate::layout::Layout;
use crate::memory_format::MemoryFormat;
use crate::parallel::{Disjoint, parallel_for};
use crate::shape::{MAX_RANK, Shape};
use crate::tensor::TensorOf;

/// The maximum number of elements of a channel in one unit.
const UNIT: usize = 4096;
/// The minimum number of elements per task.
pub(super) const GRAIN: usize = 8 * 1024;

/// The memory format of a batch: (N, C, spatial), or channels-last, (N · spatial, C).
pub(super) struct Format {
    shape: Shape,
    order: [usize; MAX_RANK],
    pub(super) channels_last: bool,
    pub(super) planes: Planes,
}

/// A batch as (N, C, spatial).
#[derive(Clone, Copy)]
pub(super) struct Planes {
    pub(super) images: usize,
    pub(super) channels: usize,
    /// The number of elements of one channel of one image.
    pub(super) plane: usize,
}

impl Planes {
    /// The number of units per channel. A unit is several whole planes or, if planes are large, a piece of one.
    fn units(self) -> usize {
        self.images.div_ceil(self.images_of_unit()) * self.pieces()
    }

    fn pieces(self) -> usize {
        self.plane.div_ceil(UNIT)
    }

    fn images_of_unit(self) -> usize {
        (UNIT / self.plane.max(1)).max(1)
    }

    /// The sums of one unit of channel c.
    fn unit_sums<T: Float, const I: usize, const K: usize, const ROWS: usize>(
        self,
        x: [&[T]; I],
        mean: T,
        f: impl Term<T, I, K>,
        c: usize,
        unit: usize,
    ) -> [T; K] {
        dispatch(UnitSums::<T, _, I, K, ROWS> { planes: self, x, mean, f, c, unit })
    }

    /// The sums of channel c.
    pub(super) fn channel_sums<T: Float, const I: usize, const K: usize, const ROWS: usize>(
        self,
        x: [&[T]; I],
        mean: T,
        f: impl Term<T, I, K>,
        c: usize,
    ) -> [T; K] {
        let mut tree = Tree::new();
        for unit in 0..self.units() {
            tree.push(self.unit_sums::<T, I, K, ROWS>(x, mean, f, c, unit));
        }
        tree.total()
    }
}

/// The sums of one unit of channel c.
struct UnitSums<'a, T, F, const I: usize, const K: usize, const ROWS: usize> {
    planes: Planes,
    x: [&'a [T]; I],
    mean: T,
    f: F,
    c: usize,
    unit: usize,
}

impl<T: Float, F: Term<T, I, K>, const I: usize, const K: usize, const ROWS: usize> Vectorized
    for UnitSums<'_, T, F, I, K, ROWS>
{
    type Element = T;
    type Output = [T; K];
    #[inline(always)]
    fn run(self) -> [T; K] {
        let Self { planes, x, mean, f, c, unit } = self;
        let Planes { images, channels, plane } = planes;
        let mut sums = Lanes::<T, K, ROWS>::new();
        if plane > UNIT {
            let (image, piece) = (unit / planes.pieces(), unit % planes.pieces());
            let start = (image * channels + c) * plane;
            sums.add_run(part(x, start + piece * UNIT, UNIT.min(plane - piece * UNIT)), mean, f);
            return sums.total();
        }
        let run = |image: usize| part(x, (image * channels + c) * plane, plane);
        let mut image = unit * planes.images_of_unit();
        let last = (image + planes.images_of_unit()).min(images);
        if plane < ROWS * LANES {
            while image + ROWS <= last {
                let mut runs = [run(image); ROWS];
                for (r, runs) in runs.iter_mut().enumerate() {
                    *runs = run(image + r);
                }
                sums.add_runs::<I>(runs, mean, f);
                image += ROWS;
            }
        }
        for image in image..last {
            sums.add_run(run(image), mean, f);
        }
        sums.total()
    }
}

/// Applies `f` to every element of some rows. A row is a plane or, in channels-last format, the channels of a pixel.
pub(super) struct MapRows<'a, 'y, T, F, const I: usize, const P: usize, const O: usize> {
    pub(super) channels_last: bool,
    pub(super) planes: Planes,
    pub(super) rows: Range<usize>,
    /// The number of images in which the planes are mapped: `rows` of the first image, and the same of those that follow.
    pub(super) images: usize,
    pub(super) x: [&'a [T]; I],
    /// Row p holds the p-th constant of each channel from `first` on.
    pub(super) constants: [&'a [T]; P],
    pub(super) first: usize,
    pub(super) f: F,
    pub(super) out: &'a [Disjoint<'y, T>; O],
}

impl<T: Float, F: Map<T, I, P, O>, const I: usize, const P: usize, const O: usize> Vectorized
    for MapRows<'_, '_, T, F, I, P, O>
{
    type Element = T;
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Planes { channels, plane, .. } = self.planes;
        if self.channels_last {
            let all = part(self.constants, 0, channels);
            for i in self.rows {
                let start = i * channels;
                // SAFETY: rows do not overlap.
                let out = unsafe { parts(self.out, start, channels) };
                map_run(part(self.x, start, channels), out, self.f, |c| element(&all, c));
            }
            return;
        }
        for image in 0..self.images {
            let mut c = (self.rows.start - self.first) % channels;
            for i in self.rows.clone() {
                let start = (image * channels + i) * plane;
                let constants = element(&self.constants, c);
                c = if c + 1 == channels { 0 } else { c + 1 };
                // SAFETY: as above.
                let out = unsafe { parts(self.out, start, plane) };
                map_run(part(self.x, start, plane), out, self.f, |_| constants);
            }
        }
    }
}

impl Format {
    /// The memory format of the batch, or (N, C, spatial) if it has neither format.
    pub(super) fn of(layout: &Layout) -> Self {
        let shape = layout.shape();
        let plane: usize = shape[2..].iter().product();
        // Without spatial axes, iterating along the channels is fastest.
        let format = MemoryFormat::of(layout).unwrap_or(MemoryFormat::ChannelsLast);
        let (order, channels_last) = (format.order(shape.rank()), format == MemoryFormat::ChannelsLast);
        Self { shape, order, channels_last, planes: Planes { images: shape[0], channels: shape[1], plane } }
    }

    pub(super) fn channels(&self) -> usize {
        self.planes.channels
    }

    /// The number of elements per channel.
    pub(super) fn count(&self) -> usize {
        self.planes.images * self.planes.plane
    }

    fn order(&self) -> &[usize] {
        &self.order[..self.shape.rank()]
    }

    /// The elements of `x` in iteration order.
    pub(super) fn read<'a, T: Float>(&self, x: &'a TensorOf<T>) -> Cow<'a, [T]> {
        in_order(x, self.order())
    }

    /// An uninitialized tensor whose memory order is the iteration order.
    pub(super) fn output<T: Float>(&self) -> TensorOf<T> {
        TensorOf::uninitialized(Layout::dense(self.shape, self.order()))
    }

    /// The number of pixels, each with all channels, in one unit of a channels-last batch: few, since they are added
    /// sequentially.
    fn pixels_of_unit(&self) -> usize {
        (4 * UNIT / self.channels().max(1)).clamp(8, 256)
    }

    /// The sums over each channel: (K, C).
    pub(super) fn sums<T: Float, F: Term<T, I, K>, const I: usize, const K: usize, const ROWS: usize>(
        &self,
        x: [&[T]; I],
        means: &[T],
        f: F,
    ) -> TensorOf<T> {
        struct OfPixels<'a, T, F, const I: usize, const K: usize> {
            x: [&'a [T]; I],
            means: &'a [T],
            f: F,
            out: &'a mut [T],
        }
        impl<T: Float, F: Term<T, I, K>, const I: usize, const K: usize> Vectorized for OfPixels<'_, T, F, I, K> {
            type Element = T;
            type Output = ();
            #[inline(always)]
            fn run(self) {
                let channels = self.means.len();
                self.out.fill(T::ZERO);
                let mut rows = self.out.chunks_exact_mut(channels);
                let mut rows: [&mut [T]; K] = std::array::from_fn(|_| rows.next().expect("one row per term"));
                for pixel in 0..self.x[0].len() / channels {
                    let x = part(self.x, pixel * channels, channels);
                    for c in 0..channels {
                        for (row, term) in rows.iter_mut().zip(self.f.of(element(&x, c), self.means[c])) {
                            row[c] += term;
                        }
                    }
                }
            }
        }

        let channels = self.channels();
        let pixels = self.pixels_of_unit();
        let units = if self.channels_last { self.count().div_ceil(pixels) } else { self.planes.units() };
        let mut partial = TensorOf::uninitialized(Layout::contiguous(Shape::from([units, K, channels])));
        let parts = Disjoint::new(partial.buffer_mut().0);
        if self.channels_last {
            parallel_for(units, (GRAIN / (pixels * channels).max(1)).max(1), |range| {
                for unit in range {
                    let place = unit * pixels * channels..((unit + 1) * pixels).min(self.count()) * channels;
                    // SAFETY: each unit writes its own elements.
                    let out = unsafe { parts.slice(unit * K * channels..(unit + 1) * K * channels) };
                    dispatch(OfPixels { x: x.map(|x| &x[place.clone()]), means, f, out });
                }
            });
        } else {
            let of_unit = (self.count() / units.max(1)).max(1);
            parallel_for(units * channels, (GRAIN / of_unit).max(1), |jobs| {
                for job in jobs {
                    // Adjacent channels are consecutive, so that small planes are read contiguously.
                    let (unit, c) = (job / channels, job % channels);
                    let sums = self.planes.unit_sums::<T, I, K, ROWS>(x, means[c], f, c, unit);
                    for (k, sum) in sums.into_iter().enumerate() {
                        // SAFETY: each channel of each unit writes its own element.
                        unsafe { parts.ptr((unit * K + k) * channels + c).write(sum) };
                    }
                }
            });
        }
        if units == 1 {
            return partial.reshape([K, channels]);
        }
        let partial = partial.buffer();
        TensorOf::from_fn([K, channels], |i| {
            let mut tree = Tree::new();
            for unit in 0..units {
                tree.push([partial[unit * K * channels + i]]);
            }
            let [sum] = tree.total();
            sum
        })
    }

    /// Applies `f` to every element; row p of `constants` (P, C) holds the p-th constant of each channel.
    pub(super) fn map<T: Float, F: Map<T, I, P, O>, const I: usize, const P: usize, const O: usize>(
        &self,
        x: [&[T]; I],
        constants: [&[T]; P],
        f: F,
    ) -> [TensorOf<T>; O] {
        let mut results: [TensorOf<T>; O] = std::array::from_fn(|_| self.output());
        let out = results.each_mut().map(|y| Disjoint::new(y.buffer_mut().0));
        let row = if self.channels_last { self.channels() } else { self.planes.plane }.max(1);
        parallel_for(x[0].len() / row, (GRAIN / row).max(1), |rows| {
            let (channels_last, planes) = (self.channels_last, self.planes);
            dispatch(MapRows { channels_last, planes, rows, images: 1, x, constants, first: 0, f, out: &out });
        });
        results
    }
}
