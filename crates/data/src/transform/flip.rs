//! Random horizontal flip.

use chainrule_tensor::{ImageStep, Rng};

use super::{Sample, Transform};

/// Flips left and right with probability ½.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomHorizontalFlip;

impl Transform for RandomHorizontalFlip {
    fn apply(&self, sample: &mut Sample, rng: &mut Rng) {
        if rng.next_u32() >> 31 == 1 {
            sample.rows_mut().for_each(<[u8]>::reverse);
        }
    }

    fn on_gpu(&self) -> Option<ImageStep> {
        Some(ImageStep::Flip)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rng, sample};
    use super::*;

    #[test]
    fn flip_mirrors_each_row_in_about_half_of_the_draws() {
        let flipped = (0..400).filter(|&seed| {
            let mut sample = sample(&[1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2]);
            RandomHorizontalFlip.apply(&mut sample, &mut rng(seed));
            let mirrored = sample.pixels() == [2, 1, 4, 3, 6, 5, 8, 7];
            assert!(mirrored || sample.pixels() == [1, 2, 3, 4, 5, 6, 7, 8]);
            mirrored
        });
        // Standard deviation 10.
        assert!(flipped.count().abs_diff(200) < 50);
    }
}
