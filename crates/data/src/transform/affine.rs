//! Affine maps of an image: rotation, translation, scale and shear.

use super::Sample;

/// How the pixel between pixels is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interpolation {
    /// The nearest pixel; torchvision's default.
    #[default]
    Nearest,
    /// The mean of the four neighbors, weighted by distance; pixels beyond the border are 0.
    Bilinear,
}

/// An affine map of an image about its center.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Affine {
    /// Rotation in degrees, clockwise.
    pub degrees: f64,
    /// Translation (x, y) in pixels, after the rotation.
    pub translate: [f64; 2],
    /// Magnification.
    pub scale: f64,
    /// Shear along x and y in degrees.
    pub shear: [f64; 2],
}

impl Affine {
    pub const IDENTITY: Self = Self { degrees: 0.0, translate: [0.0; 2], scale: 1.0, shear: [0.0; 2] };

    /// (a, b, tx), (c, d, ty): the input position a·x + b·y + tx, c·x + d·y + ty of output position (x, y), both relative to
    /// the center.
    ///
    /// The map is M = T · R(degrees) · scale · `SHy` · `SHx`; this is its inverse (torchvision's
    /// `_get_inverse_affine_matrix`).
    fn inverse(&self) -> [[f64; 3]; 2] {
        let rotation = self.degrees.to_radians();
        let [sx, sy] = self.shear.map(f64::to_radians);
        let [tx, ty] = self.translate;
        let a = (rotation - sy).cos() / sy.cos();
        let b = -(rotation - sy).cos() * sx.tan() / sy.cos() - rotation.sin();
        let c = (rotation - sy).sin() / sy.cos();
        let d = -(rotation - sy).sin() * sx.tan() / sy.cos() + rotation.cos();
        let row = |p: f64, q: f64| {
            let (p, q) = (p / self.scale, q / self.scale);
            [p, q, p * -tx + q * -ty]
        };
        [row(d, -b), row(-c, a)]
    }

    /// Applies the map. Pixels from beyond the border are 0.
    pub fn apply(&self, sample: &mut Sample, interpolation: Interpolation) {
        match interpolation {
            Interpolation::Nearest => self.sample(sample, nearest),
            Interpolation::Bilinear => self.sample(sample, bilinear),
        }
    }

    /// Rebuilds the image: `fill(at, size, old, new)` writes up to [`RUN`] pixels of a row of each channel, from the input
    /// positions `at` in an image of that (height, width).
    ///
    /// Positions are computed in `f32` in torchvision's order, so that a tie between two pixels goes the same way.
    fn sample(&self, sample: &mut Sample, fill: impl Fn(&Run, [usize; 2], &[u8], &mut [u8], usize)) {
        let [c, h, w] = sample.shape();
        // The input position, in units of half an image.
        let mut theta = self.inverse().map(|row| row.map(|x| x as f32));
        for (row, side) in theta.iter_mut().zip([w, h]) {
            *row = row.map(|x| x / (0.5 * side as f32));
        }
        let centered = |i: usize, side: usize| i as f32 - 0.5 * side as f32 + 0.5;
        sample.rebuild([c, h, w], |old, new| {
            let mut run = Run { x: [0.0; RUN], y: [0.0; RUN], len: 0 };
            for i in 0..h {
                let y = centered(i, h);
                for first in (0..w).step_by(RUN) {
                    run.len = RUN.min(w - first);
                    for ([p, q, t], side, at) in [(theta[0], w, &mut run.x), (theta[1], h, &mut run.y)] {
                        for (k, at) in at.iter_mut().enumerate() {
                            *at = ((centered(first + k, w) * p + y * q + t + 1.0) * side as f32 - 1.0) / 2.0;
                        }
                    }
                    fill(&run, [h, w], old, new, i * w + first);
                }
            }
        });
    }
}

/// The pixels that are computed together: their loops have a fixed length and no branches, so that they are vectorized.
const RUN: usize = 32;

/// The input positions of successive pixels of a row. All are computed; the first `len` are in the image.
struct Run {
    x: [f32; RUN],
    y: [f32; RUN],
    len: usize,
}

/// Copies the nearest pixels.
fn nearest(at: &Run, [h, w]: [usize; 2], old: &[u8], new: &mut [u8], start: usize) {
    let mut index = [0; RUN];
    let mut inside = [0; RUN];
    for (((index, inside), x), y) in index.iter_mut().zip(&mut inside).zip(at.x).zip(at.y) {
        let (x, y) = (round(x), round(y));
        let hit = is_inside(x, w) & is_inside(y, h);
        *index = if hit { integer(y) * w as i32 + integer(x) } else { 0 };
        *inside = if hit { 255 } else { 0 };
    }
    for (old, new) in old.chunks_exact(h * w).zip(new.chunks_exact_mut(h * w)) {
        for ((new, &index), &inside) in new[start..][..at.len].iter_mut().zip(&index).zip(&inside) {
            *new = old[index as usize] & inside;
        }
    }
}

/// Blends the four neighbors of each position. Those beyond the border have the weight 0.
fn bilinear(at: &Run, [h, w]: [usize; 2], old: &[u8], new: &mut [u8], start: usize) {
    let mut index = [[0; RUN]; 4];
    let mut weight = [[0.0; RUN]; 4];
    for (k, (&x, &y)) in at.x.iter().zip(&at.y).enumerate() {
        let (left, top) = (floor(x), floor(y));
        let (right, down) = (x - left, y - top);
        let columns = [(left, 1.0 - right), (left + 1.0, right)];
        let rows = [(top, 1.0 - down), (top + 1.0, down)];
        for (n, ((y, of_row), (x, of_column))) in rows.into_iter().flat_map(|row| columns.map(|c| (row, c))).enumerate()
        {
            let hit = is_inside(x, w) & is_inside(y, h);
            index[n][k] = if hit { integer(y) * w as i32 + integer(x) } else { 0 };
            weight[n][k] = if hit { of_row * of_column } else { 0.0 };
        }
    }
    for (old, new) in old.chunks_exact(h * w).zip(new.chunks_exact_mut(h * w)) {
        for (k, new) in new[start..][..at.len].iter_mut().enumerate() {
            let term = |n: usize| f32::from(old[index[n][k] as usize]) * weight[n][k];
            *new = integer(round(term(0) + term(1) + term(2) + term(3))) as u8;
        }
    }
}

/// Whether a whole number is an index of a side of this length; not if it is NaN.
fn is_inside(x: f32, side: usize) -> bool {
    (0.0..side as f32).contains(&x)
}

/// Between 2²³ and 2²⁴ the numbers are integers: a sum with this one rounds, and its bits count.
const SHIFT: f32 = 1.5 * (1 << 23) as f32;

/// x to the nearest integer, a tie to the even one, for |x| < 2²²; a larger one stays as large.
/// `f32::round_ties_even` and `floor` are calls of the C library on x86-64.
fn round(x: f32) -> f32 {
    (x + SHIFT) - SHIFT
}

/// The largest integer that is at most x, for |x| < 2²².
fn floor(x: f32) -> f32 {
    let near = round(x);
    near - if near > x { 1.0 } else { 0.0 }
}

/// A whole number of less than 2²² as an integer. A cast would also look for NaN and for numbers out of range, which keeps
/// loops from being vectorized.
fn integer(x: f32) -> i32 {
    ((x + SHIFT).to_bits() as i32).wrapping_sub(SHIFT.to_bits() as i32)
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    fn pixels(shape: [usize; 3]) -> Vec<u8> {
        (0..shape.iter().product::<usize>()).map(|i| (i * 37 % 255 + 1) as u8).collect()
    }

    #[test]
    fn the_identity_is_exact() {
        for shape in [[1, 1, 1], [3, 4, 7], [1, 28, 28], [2, 33, 32]] {
            for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
                let mut sample = sample(&pixels(shape), shape);
                Affine::IDENTITY.apply(&mut sample, interpolation);
                assert_eq!(sample.pixels(), pixels(shape), "{shape:?}, {interpolation:?}");
            }
        }
    }

    /// Rows move by whole pixels, and back; only what leaves the image is lost.
    #[test]
    fn a_shear_and_its_opposite_are_the_identity_inside() {
        let shape = [1, 20, 20];
        let mut sample = sample(&pixels(shape), shape);
        for sx in [12.0, -12.0] {
            Affine { shear: [sx, 0.0], ..Affine::IDENTITY }.apply(&mut sample, Interpolation::Nearest);
        }
        let differing: Vec<usize> = (0..400).filter(|&i| sample.pixels()[i] != pixels(shape)[i]).collect();
        assert!(differing.iter().all(|&i| sample.pixels()[i] == 0 && !(3..17).contains(&(i % 20))), "{differing:?}");
        assert!((1..40).contains(&differing.len()), "{differing:?}");
    }

    #[test]
    fn rounding_is_that_of_the_standard_library() {
        for k in -400..=400 {
            for x in [k as f32 / 8.0, (k as f32 / 8.0).next_up(), (k as f32 / 8.0).next_down()] {
                assert_eq!(round(x), x.round_ties_even(), "{x}");
                assert_eq!(floor(x), x.floor(), "{x}");
                assert_eq!(integer(x.floor()), x.floor() as i32, "{x}");
            }
        }
    }

    #[test]
    fn a_translation_moves_right_and_down() {
        let mut sample = sample(&[1, 2, 3, 4, 5, 6], [1, 2, 3]);
        Affine { translate: [1.0, 1.0], ..Affine::IDENTITY }.apply(&mut sample, Interpolation::Nearest);
        assert_eq!(sample.pixels(), [0, 0, 0, 0, 1, 2]);
    }

    /// The same, pixel by pixel, in the same order of operations.
    fn slow(affine: Affine, old: &[u8], [c, h, w]: [usize; 3], interpolation: Interpolation) -> Vec<u8> {
        let mut theta = affine.inverse().map(|row| row.map(|x| x as f32));
        for (row, side) in theta.iter_mut().zip([w, h]) {
            *row = row.map(|x| x / (0.5 * side as f32));
        }
        let centered = |i: usize, side: usize| i as f32 - 0.5 * side as f32 + 0.5;
        let pixel = |at: f32, side: usize| ((at + 1.0) * side as f32 - 1.0) / 2.0;
        let value = |channel: usize, y: f32, x: f32| {
            let inside = (0.0..h as f32).contains(&y) && (0.0..w as f32).contains(&x);
            if inside { f32::from(old[(channel * h + y as usize) * w + x as usize]) } else { 0.0 }
        };
        let of = |k: usize| {
            let (channel, i, j) = (k / (h * w), k / w % h, k % w);
            let (y, x) = (centered(i, h), centered(j, w));
            let [x, y] = theta.map(|[p, q, t]| x * p + y * q + t);
            let (y, x) = (pixel(y, h), pixel(x, w));
            if interpolation == Interpolation::Nearest {
                return value(channel, y.round_ties_even(), x.round_ties_even()) as u8;
            }
            let (top, left) = (y.floor(), x.floor());
            let (down, right) = (y - top, x - left);
            let upper = value(channel, top, left) * ((1.0 - down) * (1.0 - right))
                + value(channel, top, left + 1.0) * ((1.0 - down) * right);
            let lower = value(channel, top + 1.0, left) * (down * (1.0 - right));
            (upper + lower + value(channel, top + 1.0, left + 1.0) * (down * right)).round_ties_even() as u8
        };
        (0..c * h * w).map(of).collect()
    }

    #[test]
    fn runs_give_the_pixels_of_single_positions() {
        for (k, shape) in [[3, 32, 32], [1, 7, 70], [2, 65, 5], [1, 1, 33]].into_iter().cycle().take(400).enumerate() {
            let mut draw = super::super::tests::rng(k as u64);
            let mut within = |most: f64| super::super::uniform(&mut draw, &(-most..=most));
            let affine = Affine {
                degrees: within(180.0),
                translate: [within(9.0).round(), within(9.0).round()],
                // From a point to an image that is lost beyond the border.
                scale: within(9.0).exp(),
                shear: [within(89.9), within(89.9)],
            };
            for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
                let mut sample = sample(&pixels(shape), shape);
                affine.apply(&mut sample, interpolation);
                let expected = slow(affine, &pixels(shape), shape, interpolation);
                assert_eq!(sample.pixels(), expected, "{affine:?} of {shape:?}, {interpolation:?}");
            }
        }
    }
}
