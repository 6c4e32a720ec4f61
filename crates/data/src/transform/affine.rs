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
    ///
    /// Positions are computed in `f32` in torchvision's order, so that a tie between two pixels goes the same way.
    pub fn apply(&self, sample: &mut Sample, interpolation: Interpolation) {
        let [c, h, w] = sample.shape();
        let half = [w, h].map(|side| 0.5 * side as f32);
        // The input position, in units of half an image.
        let mut theta = self.inverse().map(|row| row.map(|x| x as f32));
        for (row, half) in theta.iter_mut().zip(half) {
            *row = row.map(|x| x / half);
        }
        let centered = |i: usize, side: usize| i as f32 - 0.5 * side as f32 + 0.5;
        let pixel = |at: f32, side: usize| ((at + 1.0) * side as f32 - 1.0) / 2.0;
        sample.rebuild([c, h, w], |old, new| {
            for i in 0..h {
                let y = centered(i, h);
                for j in 0..w {
                    let x = centered(j, w);
                    let [at_x, at_y] = theta.map(|[p, q, t]| x * p + y * q + t);
                    let taps = Taps::new(pixel(at_y, h), pixel(at_x, w), [h, w], interpolation);
                    for channel in 0..c {
                        new[(channel * h + i) * w + j] = taps.of(&old[channel * h * w..][..h * w]);
                    }
                }
            }
        });
    }
}

/// The pixels that make an output pixel, as indices into a channel with weights.
struct Taps {
    taps: [(usize, f32); 4],
    len: usize,
}

impl Taps {
    fn new(y: f32, x: f32, [h, w]: [usize; 2], interpolation: Interpolation) -> Self {
        let mut taps = Self { taps: [(0, 0.0); 4], len: 0 };
        let mut push = |y: f32, x: f32, weight: f32| {
            if (0.0..h as f32).contains(&y) && (0.0..w as f32).contains(&x) {
                taps.taps[taps.len] = (y as usize * w + x as usize, weight);
                taps.len += 1;
            }
        };
        match interpolation {
            Interpolation::Nearest => push(y.round_ties_even(), x.round_ties_even(), 1.0),
            Interpolation::Bilinear => {
                let (top, left) = (y.floor(), x.floor());
                let (down, right) = (y - top, x - left);
                push(top, left, (1.0 - down) * (1.0 - right));
                push(top, left + 1.0, (1.0 - down) * right);
                push(top + 1.0, left, down * (1.0 - right));
                push(top + 1.0, left + 1.0, down * right);
            }
        }
        taps
    }

    fn of(&self, channel: &[u8]) -> u8 {
        let taps = self.taps[..self.len].iter();
        taps.map(|&(at, weight)| f32::from(channel[at]) * weight).sum::<f32>().round_ties_even() as u8
    }
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
    fn a_translation_moves_right_and_down() {
        let mut sample = sample(&[1, 2, 3, 4, 5, 6], [1, 2, 3]);
        Affine { translate: [1.0, 1.0], ..Affine::IDENTITY }.apply(&mut sample, Interpolation::Nearest);
        assert_eq!(sample.pixels(), [0, 0, 0, 0, 1, 2]);
    }
}
