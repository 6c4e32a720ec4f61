//! Image preprocessing: 8-bit transforms, then normalization to `f32`.

use std::fmt::Debug;

use chainrule_tensor::{ImageStep, Rng};

/// One 8-bit image, (C, H, W) row-major, to which transforms are applied in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pixels: Vec<u8>,
    shape: [usize; 3],
    /// The output buffer of [`rebuild`](Self::rebuild), kept so that a warm loader does not allocate.
    spare: Vec<u8>,
}

impl Sample {
    /// Replaces the image by a copy of `pixels` (C, H, W).
    ///
    /// # Panics
    /// If the number of pixels is not C·H·W.
    #[track_caller]
    pub fn set(&mut self, pixels: &[u8], shape: [usize; 3]) {
        let [c, h, w] = shape;
        assert!(
            pixels.len() == c * h * w,
            "Sample::set: {} pixels do not match (C,H,W) = ({c}, {h}, {w})",
            pixels.len()
        );
        self.pixels.clear();
        self.pixels.extend_from_slice(pixels);
        self.shape = shape;
    }

    /// The pixels, (C, H, W) row-major.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// (C, H, W).
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The C·H rows of W pixels, mutably.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.pixels.chunks_exact_mut(self.shape[2])
    }

    /// Replaces the image by one of the given `shape`: `fill(old, new)` writes `new`, which is zeroed.
    pub fn rebuild(&mut self, shape: [usize; 3], fill: impl FnOnce(&[u8], &mut [u8])) {
        self.spare.clear();
        self.spare.resize(shape.iter().product(), 0);
        fill(&self.pixels, &mut self.spare);
        std::mem::swap(&mut self.pixels, &mut self.spare);
        self.shape = shape;
    }
}

/// A transform of one image. All randomness comes from `rng`, which is a function of the seed, the epoch, the sample
/// index and the position of the transform in the list.
pub trait Transform: Debug + Send + Sync {
    /// Transforms the image in place.
    fn apply(&self, sample: &mut Sample, rng: &mut Rng);

    /// The output shape (C, H, W) for an input of this shape; the same for every image.
    fn output_shape(&self, shape: [usize; 3]) -> [usize; 3] {
        shape
    }

    /// The equivalent GPU transform, with the same random numbers; `None` if it must run on the CPU.
    fn on_gpu(&self) -> Option<ImageStep> {
        None
    }
}

/// Pads with zeros on all sides, then crops a window of the original size at a random position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomCrop {
    /// Zeros on each side; 4 is usual for CIFAR-10.
    pub padding: usize,
}

impl Transform for RandomCrop {
    fn apply(&self, sample: &mut Sample, rng: &mut Rng) {
        let places = 2 * self.padding as u32 + 1;
        let (top, left) = (rng.below(places) as usize, rng.below(places) as usize);
        let p = self.padding;
        let [_, h, w] = sample.shape();
        // The columns of the window that overlap the image: window column j is image column j + left − p.
        let from = p.saturating_sub(left).min(w);
        let to = (w + p).saturating_sub(left).min(w).max(from);
        sample.rebuild(sample.shape(), |old, new| {
            for (old, new) in old.chunks_exact(h * w).zip(new.chunks_exact_mut(h * w)) {
                for (i, row) in new.chunks_exact_mut(w).enumerate() {
                    let Some(source) = (i + top).checked_sub(p).filter(|&source| source < h) else { continue };
                    if from < to {
                        let start = source * w + from + left - p;
                        row[from..to].copy_from_slice(&old[start..start + to - from]);
                    }
                }
            }
        });
    }

    fn on_gpu(&self) -> Option<ImageStep> {
        Some(ImageStep::Crop { padding: self.padding })
    }
}

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

/// Converts bytes to `f32`: y = (x / 255 − mean) / std, with a mean and standard deviation per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// y for each byte value, per channel: a lookup table saves a division per pixel.
    tables: Vec<[f32; 256]>,
}

impl Normalize {
    /// `channels` are (mean, std) pairs per channel, for pixels scaled to [0, 1]. A single pair applies to all channels.
    ///
    /// # Panics
    /// If there is no pair, if a number is not finite, or if a standard deviation is not positive.
    #[track_caller]
    pub fn new(channels: &[(f32, f32)]) -> Self {
        assert!(!channels.is_empty(), "Normalize: no (mean, std) given; pass one for all channels, or one per channel");
        let table = |&(mean, std): &(f32, f32)| {
            assert!(
                mean.is_finite() && std.is_finite() && std > 0.0,
                "Normalize: mean {mean} and std {std}: both must be finite, and std must be positive"
            );
            std::array::from_fn(|x| (x as f32 / 255.0 - mean) / std)
        };
        Self { tables: channels.iter().map(table).collect() }
    }

    /// Scales to [0, 1].
    pub fn to_unit() -> Self {
        Self::new(&[(0.0, 1.0)])
    }

    /// Scales to [−1, 1]: mean ½, standard deviation ½.
    pub fn to_symmetric() -> Self {
        Self::new(&[(0.5, 0.5)])
    }

    /// The number of channels; `None` if one pair applies to all.
    pub fn channels(&self) -> Option<usize> {
        (self.tables.len() > 1).then_some(self.tables.len())
    }

    /// The lookup table for all channels, or one per channel.
    pub(crate) fn tables(&self) -> &[[f32; 256]] {
        &self.tables
    }

    /// Writes y (C, H, W) for the pixels x (C, H, W).
    pub(crate) fn write(&self, pixels: &[u8], plane: usize, y: &mut [f32]) {
        for (channel, (pixels, y)) in pixels.chunks_exact(plane).zip(y.chunks_exact_mut(plane)).enumerate() {
            let table = &self.tables[channel % self.tables.len()];
            for (&x, y) in pixels.iter().zip(y) {
                *y = table[usize::from(x)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chainrule_tensor::{Key, Purpose};
    use proptest::{prop_assert_eq, proptest};

    fn rng(seed: u64) -> Rng {
        Key::new(seed, Purpose::AUGMENT).rng()
    }

    fn sample(pixels: &[u8], shape: [usize; 3]) -> Sample {
        let mut sample = Sample::default();
        sample.set(pixels, shape);
        sample
    }

    #[test]
    fn each_channel_is_normalized_by_its_own_mean_and_std() {
        let mut y = [0.0; 4];
        Normalize::new(&[(0.5, 0.5), (0.0, 2.0)]).write(&[0, 255, 0, 255], 2, &mut y);
        assert_eq!(y, [-1.0, 1.0, 0.0, 0.5]);
        Normalize::to_unit().write(&[0, 51, 255, 0], 2, &mut y);
        assert_eq!(y, [0.0, 0.2, 1.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "Normalize: mean 0.5 and std 0: both must be finite, and std must be positive")]
    fn zero_deviation_panics() {
        Normalize::new(&[(0.5, 0.0)]);
    }

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

    #[test]
    fn crop_reaches_every_offset() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut sample = sample(&[9], [1, 1, 1]);
            RandomCrop { padding: 0 }.apply(&mut sample, &mut rng(seed));
            assert_eq!(sample.pixels(), [9]);
            let mut sample = self::sample(&[0, 0, 0, 0, 9, 0, 0, 0, 0], [1, 3, 3]);
            RandomCrop { padding: 1 }.apply(&mut sample, &mut rng(seed));
            seen.insert(sample.pixels().iter().position(|&x| x == 9));
        }
        assert_eq!(seen.len(), 9, "the one bright pixel moves by −1, 0 or 1 in both directions");
    }

    proptest! {
        // The reference pads explicitly, then crops.
        #[test]
        fn crop_equals_pad_then_slice(h in 1_usize..6, w in 1_usize..6, padding in 0_usize..8, seed in 0_u64..1000) {
            let pixels: Vec<u8> = (1..=2 * h * w).map(|x| x as u8).collect();
            let mut sample = sample(&pixels, [2, h, w]);
            RandomCrop { padding }.apply(&mut sample, &mut rng(seed));
            let mut draws = rng(seed);
            let places = 2 * padding as u32 + 1;
            let (top, left) = (draws.below(places) as usize, draws.below(places) as usize);
            let padded = |c: usize, i: usize, j: usize| {
                let inside = (padding..padding + h).contains(&i) && (padding..padding + w).contains(&j);
                if inside { pixels[c * h * w + (i - padding) * w + j - padding] } else { 0 }
            };
            for (at, &found) in sample.pixels().iter().enumerate() {
                let (c, i, j) = (at / (h * w), at / w % h, at % w);
                prop_assert_eq!(found, padded(c, i + top, j + left));
            }
        }
    }
}
