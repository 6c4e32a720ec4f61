//! Random brightness, contrast, saturation and hue.

use std::ops::RangeInclusive;

use chainrule_tensor::{Rng, ranges};

use super::color::{adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation};
use super::{Sample, Transform, uniform};

/// Changes brightness, contrast, saturation and hue by random amounts, in random order. Images have 1 or 3 channels; gray
/// images have no saturation and hue to change.
#[derive(Clone, Debug, PartialEq)]
pub struct ColorJitter {
    /// The ranges of the factors and of the turn of the hue; `None` for what stays.
    ranges: [Option<RangeInclusive<f64>>; 4],
}

const CHANGES: [fn(&mut Sample, f64); 4] = [adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue];

impl ColorJitter {
    /// The factors of brightness, contrast and saturation are uniform from max(0, 1 − x) to 1 + x for the given x; the hue
    /// turns by −hue to hue of the color circle. 0 leaves out a change.
    ///
    /// # Panics
    /// If one of the first three is negative or not finite, or `hue` is outside 0 to ½.
    #[track_caller]
    pub fn new(brightness: f64, contrast: f64, saturation: f64, hue: f64) -> Self {
        ranges::check("ColorJitter", "brightness", brightness, ranges::NOT_NEGATIVE);
        ranges::check("ColorJitter", "contrast", contrast, ranges::NOT_NEGATIVE);
        ranges::check("ColorJitter", "saturation", saturation, ranges::NOT_NEGATIVE);
        ranges::check("ColorJitter", "hue", hue, 0.0..=0.5);
        let factor = |x: f64| (x > 0.0).then_some((1.0 - x).max(0.0)..=1.0 + x);
        let turns = (hue > 0.0).then_some(-hue..=hue);
        Self { ranges: [factor(brightness), factor(contrast), factor(saturation), turns] }
    }

    /// The changes in the order in which they are applied: an index into [`CHANGES`], and by how much. A number is drawn for
    /// each, whether or not it is used, so that one does not change the others' numbers.
    fn draw(&self, rng: &mut Rng) -> [(usize, Option<f64>); 4] {
        let mut changes: [_; 4] = std::array::from_fn(|k| {
            let drawn = uniform(rng, self.ranges[k].as_ref().unwrap_or(&(0.0..=1.0)));
            (k, self.ranges[k].as_ref().map(|_| drawn))
        });
        for i in (1..4).rev() {
            changes.swap(i, rng.below(i as u32 + 1) as usize);
        }
        changes
    }
}

impl Transform for ColorJitter {
    fn apply(&self, sample: &mut Sample, rng: &mut Rng) {
        for (k, amount) in self.draw(rng) {
            if let Some(amount) = amount {
                CHANGES[k](sample, amount);
            }
        }
    }

    fn output_shape(&self, shape: [usize; 3]) -> [usize; 3] {
        let [c, h, w] = shape;
        assert!(
            c == 1 || c == 3,
            "ColorJitter: cannot change colors of images of (C,H,W) = ({c}, {h}, {w})\n  rule: C is 1 or 3"
        );
        shape
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::{panic_text, rng};
    use super::*;

    #[test]
    fn factors_fill_their_ranges_and_every_order_is_as_frequent() {
        let jitter = ColorJitter::new(0.4, 2.0, 0.2, 0.1);
        let (mut orders, mut values) = (BTreeMap::new(), [const { Vec::new() }; 4]);
        for seed in 0..4800 {
            let drawn = jitter.draw(&mut rng(seed));
            *orders.entry(drawn.map(|(k, _)| k)).or_insert(0_i32) += 1;
            for (k, amount) in drawn {
                values[k].push(amount.expect("all four are on"));
            }
        }
        assert_eq!(orders.len(), 24);
        // 200 each, standard deviation 14.
        assert!(orders.values().all(|&n| (n - 200).abs() < 70), "{orders:?}");
        for (values, range) in values.iter().zip([0.6..=1.4, 0.0..=3.0, 0.8..=1.2, -0.1..=0.1]) {
            let (width, middle) = (range.end() - range.start(), f64::midpoint(*range.start(), *range.end()));
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!(values.iter().all(|x| range.contains(x)), "outside {range:?}");
            // Five standard deviations of the mean.
            assert!((mean - middle).abs() < 0.021 * width, "mean {mean} in {range:?}");
            let ends = [range.start(), range.end()];
            assert!(ends.iter().all(|end| values.iter().any(|x| (x - **end).abs() < 0.01 * width)), "{range:?}");
        }
    }

    #[test]
    fn a_change_that_is_off_leaves_the_numbers_of_the_others() {
        let of = |jitter: ColorJitter| jitter.draw(&mut rng(3)).map(|(k, x)| (k, x.filter(|_| k < 2)));
        assert_eq!(of(ColorJitter::new(0.4, 0.4, 0.0, 0.0)), of(ColorJitter::new(0.4, 0.4, 0.4, 0.1)));
        assert!(ColorJitter::new(0.0, 0.0, 0.0, 0.0).draw(&mut rng(0)).iter().all(|(_, amount)| amount.is_none()));
    }

    #[test]
    fn ranges_and_channels_are_checked() {
        assert_eq!(
            panic_text(|| ColorJitter::new(0.0, 0.0, 0.0, 0.6)),
            "ColorJitter: hue is 0.6\n  rule: 0 ≤ hue ≤ 0.5"
        );
        assert_eq!(
            panic_text(|| ColorJitter::new(0.0, -1.0, 0.0, 0.0)),
            "ColorJitter: contrast is -1\n  rule: 0 ≤ contrast < ∞"
        );
        assert_eq!(
            panic_text(|| ColorJitter::new(0.1, 0.0, 0.0, 0.0).output_shape([2, 4, 4])),
            "ColorJitter: cannot change colors of images of (C,H,W) = (2, 4, 4)\n  rule: C is 1 or 3"
        );
    }
}
