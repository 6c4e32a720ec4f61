//! Resampling of image batches (N,C,H,W): each output row and column interpolates two input rows and columns.

#![expect(clippy::inline_always, reason = "loops are compiled with the features of the variant they are inlined into")]

use crate::cpu::images::{Images, LANES};
use crate::cpu::pooling::{clear, lanes_mut};
use crate::cpu::simd::{Registers, Tiled, Vector, dispatch_tiled};
use crate::element::Float;
use crate::kernel::Tap;
use crate::parallel::Disjoint;
use crate::tensor::TensorOf;

/// A tap with its weights in the element type.
struct Mix<T> {
    places: [usize; 2],
    weights: [T; 2],
}

fn mixes<T: Float>(taps: &[Tap]) -> Vec<Mix<T>> {
    let mix = |tap: &Tap| Mix {
        places: [tap.lower, tap.upper],
        weights: [tap.lower_weight, 1.0 - tap.lower_weight].map(T::from_f64),
    };
    taps.iter().map(mix).collect()
}

/// `y[i,j] = Σ wᵢ · (Σ wⱼ · x[row, column])` over the two rows of i and the two columns of j.
pub(crate) fn resample<T: Float>(x: &TensorOf<T>, taps: &[Vec<Tap>; 2]) -> TensorOf<T> {
    let images = Images::new(x.layout());
    let [rows, columns] = [mixes::<T>(&taps[0]), mixes(&taps[1])];
    let layout = images.same_format([rows.len(), columns.len()]);
    let out = Images::new(&layout);
    let mut y = TensorOf::uninitialized(layout);
    let x = x.buffer();
    let parts = Disjoint::new(y.buffer_mut().0);
    let doubles = taps.iter().all(|axis| is_doubling(axis));
    images.for_each_job(4 * rows.len() * columns.len(), |n, c, lanes| {
        let (from, to) = (images.plane(n, c), out.plane(n, c));
        if lanes == 1 && doubles && from.has_rows() && from.step() > 0 && to.has_rows() {
            let size = rows.len() * columns.len();
            // SAFETY: the plane is exclusive to this job.
            let y = unsafe { parts.slice(to.at(0, 0)..to.at(0, 0) + size) };
            let (x, step) = (&x[from.at(0, 0)..], from.step() as usize);
            return dispatch_tiled(Double { x, step, y, width: columns.len() / 2 });
        }
        for (i, row) in rows.iter().enumerate() {
            for (j, column) in columns.iter().enumerate() {
                let corner = |a: usize, b: usize| from.lanes(x, row.places[a], column.places[b], lanes);
                let (above, below) = ([corner(0, 0), corner(0, 1)], [corner(1, 0), corner(1, 1)]);
                let [left, right] = column.weights;
                // SAFETY: the lanes are exclusive to this job, which holds one pixel at a time.
                let y = unsafe { lanes_mut(&parts, to, i, j, lanes) };
                for (lane, y) in y.iter_mut().enumerate() {
                    let along = |pair: [&[T]; 2]| left * pair[0][lane] + right * pair[1][lane];
                    *y = row.weights[0] * along(above) + row.weights[1] * along(below);
                }
            }
        }
    });
    y
}

/// Adds each `dy[i,j]`, in row-major order, to its four source pixels of x, weighted.
pub(crate) fn adjoint<T: Float>(dy: &TensorOf<T>, taps: &[Vec<Tap>; 2], hw: [usize; 2]) -> TensorOf<T> {
    let images = Images::new(dy.layout());
    let [rows, columns] = [mixes::<T>(&taps[0]), mixes(&taps[1])];
    let layout = images.same_format(hw);
    let out = Images::new(&layout);
    let mut dx = TensorOf::uninitialized(layout);
    let dy = dy.buffer();
    let parts = Disjoint::new(dx.buffer_mut().0);
    let doubles = taps.iter().all(|axis| is_doubling(axis)) && [rows.len(), columns.len()] == hw.map(|len| 2 * len);
    images.for_each_job(4 * rows.len() * columns.len() + hw[0] * hw[1], |n, c, lanes| {
        let (from, to) = (images.plane(n, c), out.plane(n, c));
        if lanes == 1 && doubles && from.has_rows() && from.step() > 0 && to.has_rows() {
            // SAFETY: the plane is exclusive to this job.
            let dx = unsafe { parts.slice(to.at(0, 0)..to.at(0, 0) + hw[0] * hw[1]) };
            let (dy, step) = (&dy[from.at(0, 0)..], from.step() as usize);
            return dispatch_tiled(Halve { dy, step, dx, width: hw[1] });
        }
        clear(&parts, to, hw, lanes);
        for (i, row) in rows.iter().enumerate() {
            for (j, column) in columns.iter().enumerate() {
                let gradient = images.plane(n, c).lanes(dy, i, j, lanes);
                for (&y, &vertical) in row.places.iter().zip(&row.weights) {
                    let mut share = [T::ZERO; LANES];
                    for (share, &gradient) in share.iter_mut().zip(gradient) {
                        *share = vertical * gradient;
                    }
                    for (&x, &horizontal) in column.places.iter().zip(&column.weights) {
                        // SAFETY: the lanes are exclusive to this job, which holds one pixel at a time.
                        let dx = unsafe { lanes_mut(&parts, to, y, x, lanes) };
                        for (dx, &share) in dx.iter_mut().zip(&share) {
                            *dx += horizontal * share;
                        }
                    }
                }
            }
        }
    });
    dx
}

/// Whether the taps duplicate every pixel.
fn is_doubling(taps: &[Tap]) -> bool {
    taps.iter().enumerate().all(|(i, tap)| tap.lower == i / 2 && tap.lower_weight == 1.0)
        && taps.len().is_multiple_of(2)
}

/// The number of lanes of the widest register.
const WIDEST: usize = 16;

/// Duplicates every pixel of a plane in both directions. Rows of x are `step` apart and `width` long; y is contiguous.
struct Double<'a, T> {
    x: &'a [T],
    step: usize,
    y: &'a mut [T],
    width: usize,
}

impl<T: Float> Tiled for Double<'_, T> {
    type Element = T;
    type Output = ();

    #[inline(always)]
    fn run<R: Registers>(self) {
        let lanes = T::Vector::<R>::LANES;
        for (i, rows) in self.y.chunks_exact_mut(4 * self.width).enumerate() {
            let (above, below) = rows.split_at_mut(2 * self.width);
            for j in (0..self.width).step_by(lanes) {
                let count = lanes.min(self.width - j);
                let (mut x, mut y) = ([T::ZERO; WIDEST], [T::ZERO; 2 * WIDEST]);
                x[..count].copy_from_slice(&self.x[i * self.step + j..][..count]);
                // SAFETY: no register has more lanes than WIDEST.
                unsafe {
                    let x = T::Vector::<R>::load(x.as_ptr());
                    let (low, high) = x.zip(x);
                    low.store(y.as_mut_ptr());
                    high.store(y.as_mut_ptr().add(lanes));
                }
                above[2 * j..2 * (j + count)].copy_from_slice(&y[..2 * count]);
                below[2 * j..2 * (j + count)].copy_from_slice(&y[..2 * count]);
            }
        }
    }
}

/// The adjoint of [`Double`]: the sums over blocks of 2×2. Rows of dy have stride `step`, those of dx are `width` long.
struct Halve<'a, T> {
    dy: &'a [T],
    step: usize,
    dx: &'a mut [T],
    width: usize,
}

impl<T: Float> Tiled for Halve<'_, T> {
    type Element = T;
    type Output = ();

    #[inline(always)]
    fn run<R: Registers>(self) {
        let lanes = T::Vector::<R>::LANES;
        for (i, dx) in self.dx.chunks_exact_mut(self.width).enumerate() {
            for j in (0..self.width).step_by(lanes) {
                let count = lanes.min(self.width - j);
                let mut sums = [T::ZERO; WIDEST];
                let mut sum = T::Vector::<R>::splat(T::ZERO);
                for row in 0..2 {
                    let mut dy = [T::ZERO; 2 * WIDEST];
                    dy[..2 * count].copy_from_slice(&self.dy[(2 * i + row) * self.step + 2 * j..][..2 * count]);
                    // SAFETY: no register has more lanes than WIDEST.
                    let (low, high) =
                        unsafe { (T::Vector::<R>::load(dy.as_ptr()), T::Vector::<R>::load(dy.as_ptr().add(lanes))) };
                    let (even, odd) = low.unzip(high);
                    sum = sum.add(even).add(odd);
                }
                // SAFETY: as above.
                unsafe { sum.store(sums.as_mut_ptr()) };
                dx[j..j + count].copy_from_slice(&sums[..count]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::images::testing::{elements, layouts};
    use crate::parallel::with_threads;

    /// The taps that resize `from` rows to `to`, with pixel centers as sample points (`align_corners=False`).
    fn bilinear(from: usize, to: usize) -> Vec<Tap> {
        let tap = |i: usize| {
            let place = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
            let lower = (place as usize).min(from - 1);
            Tap { lower, upper: (lower + 1).min(from - 1), lower_weight: 1.0 - (place - lower as f64) }
        };
        (0..to).map(tap).collect()
    }

    /// The weight of row `k` in a tap.
    fn weight(tap: &Tap, k: usize) -> f64 {
        let part = |place: usize, weight: f64| if place == k { weight } else { 0.0 };
        part(tap.lower, tap.lower_weight) + part(tap.upper, 1.0 - tap.lower_weight)
    }

    fn close<T: Float>(a: &TensorOf<T>, b: &[f64], tolerance: f64) {
        let a = elements(a);
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(b).all(|(a, b)| (a.to_f64() - b).abs() <= tolerance));
    }

    const CASES: [([usize; 4], [usize; 2]); 5] = [
        ([2, 3, 4, 5], [8, 10]),
        ([1, 20, 5, 4], [3, 7]),
        ([2, 1, 1, 3], [4, 1]),
        ([0, 2, 3, 3], [5, 5]),
        ([1, 17, 2, 2], [1, 1]),
    ];

    #[test]
    fn results_are_the_weighted_sums_of_all_pixels() {
        for (shape, size) in CASES {
            let taps = [bilinear(shape[2], size[0]), bilinear(shape[3], size[1])];
            let planes = shape[0] * shape[1];
            let (pixels, results) = (shape[2] * shape[3], size[0] * size[1]);
            let factor = |result: usize, pixel: usize| {
                weight(&taps[0][result / size[1]], pixel / shape[3])
                    * weight(&taps[1][result % size[1]], pixel % shape[3])
            };
            for x in layouts::<f32>(shape, 1) {
                let values = elements(&x);
                let sum = |i: usize| -> f64 {
                    let plane = &values[i / results * pixels..][..pixels];
                    plane.iter().enumerate().map(|(k, &v)| f64::from(v) * factor(i % results, k)).sum()
                };
                close(&resample(&x, &taps), &(0..planes * results).map(sum).collect::<Vec<_>>(), 2e-6);
            }
            for dy in layouts::<f64>([shape[0], shape[1], size[0], size[1]], 2) {
                let gradients = elements(&dy);
                let sum = |i: usize| -> f64 {
                    let plane = &gradients[i / pixels * results..][..results];
                    plane.iter().enumerate().map(|(k, &v)| v * factor(k, i % pixels)).sum()
                };
                let expected: Vec<f64> = (0..planes * pixels).map(sum).collect();
                close(&adjoint(&dy, &taps, [shape[2], shape[3]]), &expected, 1e-13);
            }
        }
    }

    #[test]
    fn twice_the_size_is_what_pytorch_gives() {
        // torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear") of [[1, 2], [3, 4]].
        let x = TensorOf::<f32>::from_slice(&[1.0, 2.0, 3.0, 4.0], [1, 1, 2, 2]);
        let y = resample(&x, &[bilinear(2, 4), bilinear(2, 4)]);
        let expected = [1.0, 1.25, 1.75, 2.0, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3.0, 3.25, 3.75, 4.0];
        assert_eq!(elements(&y), expected);
    }

    #[test]
    fn results_keep_the_memory_format_and_do_not_depend_on_threads() {
        let taps = [bilinear(33, 40), bilinear(21, 50)];
        for (x, last) in layouts::<f32>([2, 40, 33, 21], 3).into_iter().zip([false, true]) {
            let all = || {
                let y = resample(&x, &taps);
                [adjoint(&y, &taps, [33, 21]), y]
            };
            for (one, three) in with_threads(1, all).into_iter().zip(with_threads(3, all)) {
                assert!(elements(&one) == elements(&three));
                assert_eq!(one.layout().strides()[1] == 1, last);
            }
        }
    }
}
