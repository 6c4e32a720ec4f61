//! Random rotation.

use std::ops::RangeInclusive;

use chainrule_tensor::{Rng, ranges};

use super::affine::{Affine, Interpolation};
use super::{Sample, Transform, check_range, uniform};

/// Rotates about the center by a random angle. The size stays; corners that come from outside the image are 0.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomRotation {
    degrees: RangeInclusive<f64>,
    interpolation: Interpolation,
}

impl RandomRotation {
    /// By an angle from this range in degrees, counter-clockwise. `-15.0..=15.0` is torchvision's `degrees=15`.
    ///
    /// # Panics
    /// If the range is not ordered or not finite.
    #[track_caller]
    pub fn new(degrees: RangeInclusive<f64>) -> Self {
        check_range("RandomRotation", "degrees", &degrees, ranges::FINITE);
        Self { degrees, interpolation: Interpolation::Nearest }
    }

    /// Replaces the nearest pixel by an interpolation.
    #[must_use]
    pub fn interpolation(self, interpolation: Interpolation) -> Self {
        Self { interpolation, ..self }
    }
}

impl Transform for RandomRotation {
    fn apply(&self, sample: &mut Sample, rng: &mut Rng) {
        // An affine map rotates clockwise.
        let degrees = -uniform(rng, &self.degrees);
        Affine { degrees, ..Affine::IDENTITY }.apply(sample, self.interpolation);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{panic_text, rng, sample};
    use super::*;

    /// Quarter turns permute the pixels of a square image, at odd and even sizes.
    #[test]
    fn quarter_turns_are_permutations() {
        for n in 1..40 {
            let pixels: Vec<u8> = (0..2 * n * n).map(|i| (i * 37 % 255 + 1) as u8).collect();
            let at = |c: usize, i: usize, j: usize| pixels[(c * n + i) * n + j];
            for turns in -4_i32..=4 {
                for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
                    let mut sample = sample(&pixels, [2, n, n]);
                    let degrees = f64::from(90 * turns);
                    RandomRotation::new(degrees..=degrees).interpolation(interpolation).apply(&mut sample, &mut rng(0));
                    let last = n - 1;
                    for (k, &found) in sample.pixels().iter().enumerate() {
                        let (c, i, j) = (k / (n * n), k / n % n, k % n);
                        let expected = match turns.rem_euclid(4) {
                            0 => at(c, i, j),
                            1 => at(c, j, last - i),
                            2 => at(c, last - i, last - j),
                            _ => at(c, last - j, i),
                        };
                        assert_eq!(found, expected, "{n}×{n}, {degrees}°, {interpolation:?}, pixel {k}");
                    }
                }
            }
        }
    }

    #[test]
    fn ranges_are_checked() {
        assert_eq!(
            panic_text(|| RandomRotation::new(10.0..=-10.0)),
            "RandomRotation: degrees is from 10 to -10\n  rule: the first number is at most the second"
        );
        assert_eq!(
            panic_text(|| RandomRotation::new(0.0..=f64::INFINITY)),
            "RandomRotation: degrees is inf\n  rule: −∞ < degrees < ∞"
        );
    }
}
