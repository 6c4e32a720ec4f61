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
        let [_, h, w] = sample.shape();
        match interpolation {
            Interpolation::Nearest => self.sample(sample, |y, x| [tap(round(y), round(x), [h, w], 1.0)]),
            Interpolation::Bilinear => self.sample(sample, |y, x| {
                let (top, left) = (floor(y), floor(x));
                let (down, right) = (y - top as f32, x - left as f32);
                [
                    tap(top, left, [h, w], (1.0 - down) * (1.0 - right)),
                    tap(top, left + 1, [h, w], (1.0 - down) * right),
                    tap(top + 1, left, [h, w], down * (1.0 - right)),
                    tap(top + 1, left + 1, [h, w], down * right),
                ]
            }),
        }
    }

    /// Replaces each pixel by the weighted sum of the pixels that `taps(row, column)` gives for its input position.
    ///
    /// Positions are computed in `f32` in torchvision's order, so that a tie between two pixels goes the same way.
    fn sample<const N: usize>(&self, sample: &mut Sample, taps: impl Fn(f32, f32) -> [(usize, f32); N]) {
        let [c, h, w] = sample.shape();
        // The input position, in units of half an image.
        let mut theta = self.inverse().map(|row| row.map(|x| x as f32));
        for (row, side) in theta.iter_mut().zip([w, h]) {
            *row = row.map(|x| x / (0.5 * side as f32));
        }
        let centered = |i: usize, side: usize| i as f32 - 0.5 * side as f32 + 0.5;
        let pixel = |at: f32, side: usize| ((at + 1.0) * side as f32 - 1.0) / 2.0;
        sample.rebuild([c, h, w], |old, new| {
            for (i, j) in (0..h).flat_map(|i| (0..w).map(move |j| (i, j))) {
                let (y, x) = (centered(i, h), centered(j, w));
                let [x, y] = theta.map(|[p, q, t]| x * p + y * q + t);
                let (y, x) = (pixel(y, h), pixel(x, w));
                // Otherwise neither the nearest pixel nor a neighbor is inside.
                if (-1.0..h as f32).contains(&y) && (-1.0..w as f32).contains(&x) {
                    let taps = taps(y, x);
                    for channel in (0..c).map(|channel| channel * h * w) {
                        let sum: f32 = taps.iter().map(|&(at, weight)| f32::from(old[channel + at]) * weight).sum();
                        new[channel + i * w + j] = round(sum) as u8;
                    }
                }
            }
        });
    }
}

/// The index of a pixel in a channel of (h, w), with its weight: 0 if it is beyond the border.
fn tap(y: i32, x: i32, [h, w]: [usize; 2], weight: f32) -> (usize, f32) {
    // A negative number is a large one.
    let (y, x) = (y as usize, x as usize);
    if y < h && x < w { (y * w + x, weight) } else { (0, 0.0) }
}

/// x to the nearest integer, a tie to the even one, for |x| < 2²². `f32::round_ties_even` and `floor` are calls of the C
/// library on x86-64.
fn round(x: f32) -> i32 {
    // Between 2²³ and 2²⁴ the numbers are integers: the sum rounds.
    const SHIFT: f32 = 1.5 * (1 << 23) as f32;
    ((x + SHIFT) - SHIFT) as i32
}

fn floor(x: f32) -> i32 {
    let towards_zero = x as i32;
    towards_zero - i32::from(towards_zero as f32 > x)
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
                assert_eq!(round(x), x.round_ties_even() as i32, "{x}");
                assert_eq!(floor(x), x.floor() as i32, "{x}");
            }
        }
    }

    #[test]
    fn a_translation_moves_right_and_down() {
        let mut sample = sample(&[1, 2, 3, 4, 5, 6], [1, 2, 3]);
        Affine { translate: [1.0, 1.0], ..Affine::IDENTITY }.apply(&mut sample, Interpolation::Nearest);
        assert_eq!(sample.pixels(), [0, 0, 0, 0, 1, 2]);
    }
}
