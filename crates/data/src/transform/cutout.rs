//! Cutout.

use chainrule_tensor::{Rng, ranges};

use super::{Sample, Transform};

/// Sets a square at a random place to 0 in all channels (`DeVries` and Taylor: "Improved Regularization of Convolutional
/// Neural Networks with Cutout", 2017).
///
/// The center is uniform over the pixels; the part of the square beyond the border is lost, as in the paper. The paper cuts
/// after the normalization, so that its 0 is the mean color; here it is black.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutout {
    length: usize,
}

impl Cutout {
    /// A square of this side in pixels, 16 for CIFAR-10 in the paper. As in the authors' program it covers ⌊length/2⌋ pixels
    /// on either side of the center's upper left corner, so an odd length counts as the even one below.
    ///
    /// # Panics
    /// If `length` is outside 2 to 65 535.
    #[track_caller]
    pub fn new(length: usize) -> Self {
        ranges::check("Cutout", "length", length as f64, 2.0..=f64::from(u16::MAX));
        Self { length }
    }

    /// Cuts the square about row `y` and column `x`.
    pub(super) fn cut(self, sample: &mut Sample, y: usize, x: usize) {
        let [_, h, w] = sample.shape();
        let half = self.length / 2;
        let rows = y.saturating_sub(half)..(y + half).min(h);
        let columns = x.saturating_sub(half)..(x + half).min(w);
        for (i, row) in sample.rows_mut().enumerate() {
            if rows.contains(&(i % h)) {
                row[columns.clone()].fill(0);
            }
        }
    }
}

impl Transform for Cutout {
    fn apply(&self, sample: &mut Sample, rng: &mut Rng) {
        let [_, h, w] = sample.shape();
        let (y, x) = (rng.below(h as u32) as usize, rng.below(w as u32) as usize);
        self.cut(sample, y, x);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::{panic_text, rng, sample};
    use super::*;

    #[test]
    fn every_pixel_is_a_center_and_all_channels_are_cut_alike() {
        let seen: BTreeSet<Vec<usize>> = (0..600)
            .map(|seed| {
                let mut sample = sample(&[7; 40], [2, 4, 5]);
                Cutout::new(2).apply(&mut sample, &mut rng(seed));
                let cut = |channel: usize| (0..20).filter(|i| sample.pixels()[channel * 20 + i] == 0).collect();
                let first: Vec<usize> = cut(0);
                assert_eq!(first, cut(1));
                first
            })
            .collect();
        assert_eq!(seen.len(), 20);
        assert!(seen.iter().any(|cut| cut == &[0]), "cut off at the corner");
        assert_eq!(seen.iter().map(Vec::len).max(), Some(4));
    }

    #[test]
    fn lengths_are_checked() {
        assert_eq!(panic_text(|| Cutout::new(0)), "Cutout: length is 0\n  rule: 2 ≤ length ≤ 65535");
    }
}
