//! What happens to an image on its way into a batch: 8-bit transforms, then normalization to `f32`.

use std::fmt::Debug;

use chainrule_tensor::Rng;
use chainrule_tensor::cuda::ImageStep;

/// One 8-bit image, (C, H, W) row-major, that transforms change in turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pixels: Vec<u8>,
    shape: [usize; 3],
    /// Where the next image is built; kept so that a warm loader allocates nothing.
    spare: Vec<u8>,
}

impl Sample {
    /// Takes over a copy of an image's pixels, (C, H, W).
    ///
    /// # Panics
    /// If there are not C·H·W pixels.
    #[track_caller]
    pub fn set(&mut self, pixels: &[u8], shape: [usize; 3]) {
        let [c, h, w] = shape;
        assert!(
            pixels.len() == c * h * w,
            "Sample::set: {} pixels do not make (C,H,W) = ({c}, {h}, {w})",
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

    /// The image's rows, (C·H) of W pixels, to be changed in place.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.pixels.chunks_exact_mut(self.shape[2])
    }

    /// Puts an image of another `shape` in this one's place: `fill(old, new)` writes `new`, which is all zeros.
    pub fn rebuild(&mut self, shape: [usize; 3], fill: impl FnOnce(&[u8], &mut [u8])) {
        self.spare.clear();
        self.spare.resize(shape.iter().product(), 0);
        fill(&self.pixels, &mut self.spare);
        std::mem::swap(&mut self.pixels, &mut self.spare);
        self.shape = shape;
    }
}

/// A change of one image; its randomness comes from `rng` alone, which depends on nothing but the seed, the epoch,
/// the sample's index in its set and the transform's place in the list.
pub trait Transform: Debug + Send + Sync {
    /// Changes the image.
    fn apply(&self, sample: &mut Sample, rng: &mut Rng);

    /// (C, H, W) of what comes out of an image of this shape; the same for every image.
    fn output_shape(&self, shape: [usize; 3]) -> [usize; 3] {
        shape
    }

    /// The same change as a GPU makes it, with the same draws; `None` if it has to be made on the processor.
    fn on_gpu(&self) -> Option<ImageStep> {
        None
    }
}

/// Pads with zeros on all sides, then cuts a window of the old size out at a random place.
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
        // Columns of the window that lie on the image: window column j is image column j + left − p.
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

/// Mirrors left and right with probability ½.
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

/// From bytes to `f32`: y = (x / 255 − mean) / std, each channel with its own mean and standard deviation.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// y for each byte, for each channel: a table, since 256 divisions are fewer than an image's.
    tables: Vec<[f32; 256]>,
}

impl Normalize {
    /// The mean and standard deviation of each channel, of pixels scaled to [0, 1]. One pair serves all channels.
    ///
    /// # Panics
    /// If there is no pair, if one number is not finite or a standard deviation is not above 0.
    #[track_caller]
    pub fn new(channels: &[(f32, f32)]) -> Self {
        assert!(!channels.is_empty(), "Normalize: give one (mean, std) for all channels, or one for each");
        let table = |&(mean, std): &(f32, f32)| {
            assert!(
                mean.is_finite() && std.is_finite() && std > 0.0,
                "Normalize: mean {mean} and std {std}: both must be finite, and std above 0"
            );
            std::array::from_fn(|x| (x as f32 / 255.0 - mean) / std)
        };
        Self { tables: channels.iter().map(table).collect() }
    }

    /// To [0, 1].
    pub fn to_unit() -> Self {
        Self::new(&[(0.0, 1.0)])
    }

    /// To [−1, 1]: mean ½, standard deviation ½.
    pub fn to_symmetric() -> Self {
        Self::new(&[(0.5, 0.5)])
    }

    /// Number of channels it is made for; `None` when it serves any.
    pub fn channels(&self) -> Option<usize> {
        (self.tables.len() > 1).then_some(self.tables.len())
    }

    /// What each byte becomes, for all channels alike or for each.
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
    fn normalization_has_a_table_for_each_channel() {
        let mut y = [0.0; 4];
        Normalize::new(&[(0.5, 0.5), (0.0, 2.0)]).write(&[0, 255, 0, 255], 2, &mut y);
        assert_eq!(y, [-1.0, 1.0, 0.0, 0.5]);
        Normalize::to_unit().write(&[0, 51, 255, 0], 2, &mut y);
        assert_eq!(y, [0.0, 0.2, 1.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "Normalize: mean 0.5 and std 0: both must be finite, and std above 0")]
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
    fn crop_reaches_every_place_of_the_padded_image() {
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
        // The reference pads for real and cuts.
        #[test]
        fn crop_is_pad_then_cut(h in 1_usize..6, w in 1_usize..6, padding in 0_usize..8, seed in 0_u64..1000) {
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
