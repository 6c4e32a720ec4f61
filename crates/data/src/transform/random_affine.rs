//! Random rotation, translation, scale and shear.

use std::ops::RangeInclusive;

use chainrule_tensor::{Rng, ranges};

use super::affine::{Affine, Interpolation};
use super::{Sample, Transform, check_range, uniform};

/// A random affine map about the center: a rotation, and whatever else is asked for. The size stays; pixels that come from
/// outside the image are 0.
///
/// As torchvision's with `fill=None`; its class has `fill=0`, which darkens the border of the map twice if bilinear.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomAffine {
    degrees: RangeInclusive<f64>,
    translate: [f64; 2],
    scale: RangeInclusive<f64>,
    shear: [RangeInclusive<f64>; 2],
    interpolation: Interpolation,
}

impl RandomAffine {
    /// Rotates by an angle from this range in degrees, clockwise (that of [`RandomRotation`](super::RandomRotation) is
    /// counter-clockwise; both as in torchvision).
    ///
    /// # Panics
    /// If the range is not ordered or not finite.
    #[track_caller]
    pub fn new(degrees: RangeInclusive<f64>) -> Self {
        check_range("RandomAffine", "degrees", &degrees, ranges::FINITE);
        Self {
            degrees,
            translate: [0.0; 2],
            scale: 1.0..=1.0,
            shear: [0.0..=0.0, 0.0..=0.0],
            interpolation: Interpolation::Nearest,
        }
    }

    /// Moves by whole pixels, at most these shares of the width and of the height, in either direction.
    ///
    /// # Panics
    /// If a share is outside 0 to 1.
    #[must_use]
    #[track_caller]
    pub fn translate(self, x: f64, y: f64) -> Self {
        ranges::check("RandomAffine", "translate x", x, ranges::SHARE);
        ranges::check("RandomAffine", "translate y", y, ranges::SHARE);
        Self { translate: [x, y], ..self }
    }

    /// Magnifies by a factor from this range.
    ///
    /// # Panics
    /// If the range is not ordered, positive and finite.
    #[must_use]
    #[track_caller]
    pub fn scale(self, scale: RangeInclusive<f64>) -> Self {
        check_range("RandomAffine", "scale", &scale, ranges::POSITIVE);
        Self { scale, ..self }
    }

    /// Shears along x and y by angles from these ranges in degrees.
    ///
    /// # Panics
    /// If a range is not ordered or not between −90 and 90.
    #[must_use]
    #[track_caller]
    pub fn shear(self, x: RangeInclusive<f64>, y: RangeInclusive<f64>) -> Self {
        use std::ops::Bound::Excluded;
        let bounds = (Excluded(-90.0), Excluded(90.0));
        check_range("RandomAffine", "shear x", &x, bounds);
        check_range("RandomAffine", "shear y", &y, bounds);
        Self { shear: [x, y], ..self }
    }

    /// Replaces the nearest pixel by an interpolation.
    #[must_use]
    pub fn interpolation(self, interpolation: Interpolation) -> Self {
        Self { interpolation, ..self }
    }

    /// Every number is drawn, whether or not it is used, so that one option does not change the others' numbers.
    fn draw(&self, [_, h, w]: [usize; 3], rng: &mut Rng) -> Affine {
        let mut pixels = |share: f64, side: usize| {
            let most = share * side as f64;
            uniform(rng, &(-most..=most)).round_ties_even()
        };
        let translate = [pixels(self.translate[0], w), pixels(self.translate[1], h)];
        Affine {
            translate,
            degrees: uniform(rng, &self.degrees),
            scale: uniform(rng, &self.scale),
            shear: [uniform(rng, &self.shear[0]), uniform(rng, &self.shear[1])],
        }
    }
}

impl Transform for RandomAffine {
    fn apply(&self, sample: &mut Sample, rng: &mut Rng) {
        self.draw(sample.shape(), rng).apply(sample, self.interpolation);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{panic_text, rng};
    use super::*;

    #[test]
    fn each_number_fills_its_range_evenly() {
        let affine = RandomAffine::new(-30.0..=10.0).translate(0.1, 0.5).scale(0.5..=2.0).shear(-5.0..=5.0, 0.0..=20.0);
        let drawn: Vec<Affine> = (0..4000).map(|seed| affine.draw([3, 40, 100], &mut rng(seed))).collect();
        let check = |name: &str, of: &dyn Fn(&Affine) -> f64, range: RangeInclusive<f64>| {
            let values: Vec<f64> = drawn.iter().map(of).collect();
            let width = range.end() - range.start();
            let mean = values.iter().sum::<f64>() / 4000.0;
            let middle = range.start() + width / 2.0;
            // Five standard deviations of the mean: width / √12 / √4000 · 5 = 0.023 width.
            assert!((mean - middle).abs() < 0.023 * width, "{name}: mean {mean}");
            assert!(values.iter().all(|x| range.contains(x)), "{name}: outside {range:?}");
            for end in [*range.start(), *range.end()] {
                assert!(values.iter().any(|x| (x - end).abs() < 0.02 * width), "{name}: never near {end}");
            }
        };
        check("degrees", &|drawn| drawn.degrees, -30.0..=10.0);
        check("x", &|drawn| drawn.translate[0], -10.0..=10.0);
        check("y", &|drawn| drawn.translate[1], -20.0..=20.0);
        check("scale", &|drawn| drawn.scale, 0.5..=2.0);
        check("shear x", &|drawn| drawn.shear[0], -5.0..=5.0);
        check("shear y", &|drawn| drawn.shear[1], 0.0..=20.0);
        assert!(drawn.iter().all(|drawn| drawn.translate.iter().all(|x| x.fract() == 0.0)));
    }

    #[test]
    fn ranges_are_checked() {
        let affine = || RandomAffine::new(0.0..=0.0);
        assert_eq!(
            panic_text(|| affine().translate(0.0, 1.5)),
            "RandomAffine: translate y is 1.5\n  rule: 0 ≤ translate y ≤ 1"
        );
        assert_eq!(panic_text(|| affine().scale(0.0..=1.0)), "RandomAffine: scale is 0\n  rule: 0 < scale < ∞");
        assert_eq!(
            panic_text(|| affine().shear(-95.0..=0.0, 0.0..=0.0)),
            "RandomAffine: shear x is -95\n  rule: −90 < shear x < 90"
        );
    }
}
