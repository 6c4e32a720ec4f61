//! Random crop with padding.

use chainrule_tensor::{ImageStep, Rng};

use super::crop::{PaddingMode, window};
use super::{Sample, Transform, check_size};

/// Pads all sides, then crops a window at a random position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomCrop {
    /// (H, W) of the window; `None` is the size of the image.
    size: Option<[usize; 2]>,
    padding: usize,
    mode: PaddingMode,
}

impl RandomCrop {
    /// A window of (H, W), without padding.
    ///
    /// # Panics
    /// If a side is outside 1 to 65 535.
    #[track_caller]
    pub fn new(size: [usize; 2]) -> Self {
        check_size("RandomCrop", size);
        Self { size: Some(size), ..Self::padded(0) }
    }

    /// A window of the size of the image, after padding all sides with `padding` zeros; 4 is usual for CIFAR-10.
    ///
    /// # Panics
    /// If `padding` exceeds 65 535.
    #[track_caller]
    pub fn padded(padding: usize) -> Self {
        Self { size: None, padding: 0, mode: PaddingMode::Zero }.padding(padding)
    }

    /// Pads each side by this number of pixels.
    ///
    /// # Panics
    /// If `padding` exceeds 65 535.
    #[must_use]
    #[track_caller]
    pub fn padding(self, padding: usize) -> Self {
        chainrule_tensor::ranges::check("RandomCrop", "padding", padding as f64, 0.0..=f64::from(u16::MAX));
        Self { padding, ..self }
    }

    /// What the padding consists of; zeros by default.
    #[must_use]
    pub fn padding_mode(self, mode: PaddingMode) -> Self {
        Self { mode, ..self }
    }

    /// The number of positions of the window, vertically and horizontally. Panics if there is none.
    fn places(&self, [c, h, w]: [usize; 3]) -> [u32; 2] {
        let Self { padding, size, mode } = *self;
        assert!(
            mode != PaddingMode::Reflect || padding < h.min(w),
            "RandomCrop: padding {padding} cannot be a reflection of images of (C,H,W) = ({c}, {h}, {w})\n  \
             rule: padding < H and padding < W"
        );
        let [height, width] = size.unwrap_or([h, w]);
        assert!(
            height <= h + 2 * padding && width <= w + 2 * padding,
            "RandomCrop: the window (H,W) = ({height}, {width}) is larger than the images, (C,H,W) = ({c}, {h}, {w}) with \
             padding {padding}\n  rule: window ≤ image + 2·padding"
        );
        [h + 2 * padding - height + 1, w + 2 * padding - width + 1].map(|places| places as u32)
    }
}

impl Transform for RandomCrop {
    fn apply(&self, sample: &mut Sample, rng: &mut Rng) {
        let [_, h, w] = sample.shape();
        let [top, left] = self.places(sample.shape()).map(|places| rng.below(places) as isize);
        let padding = self.padding as isize;
        window(sample, [top - padding, left - padding], self.size.unwrap_or([h, w]), self.mode);
    }

    fn output_shape(&self, shape: [usize; 3]) -> [usize; 3] {
        self.places(shape);
        let [c, h, w] = shape;
        let [h, w] = self.size.unwrap_or([h, w]);
        [c, h, w]
    }

    fn on_gpu(&self) -> Option<ImageStep> {
        (self.size.is_none() && self.mode == PaddingMode::Zero).then_some(ImageStep::Crop { padding: self.padding })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{prop_assert_eq, proptest};

    use super::super::tests::{panic_text, rng, sample};
    use super::*;

    #[test]
    fn crop_reaches_every_offset() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let mut sample = sample(&[9], [1, 1, 1]);
            RandomCrop::padded(0).apply(&mut sample, &mut rng(seed));
            assert_eq!(sample.pixels(), [9]);
            let mut sample = super::super::tests::sample(&[0, 0, 0, 0, 9, 0, 0, 0, 0], [1, 3, 3]);
            RandomCrop::padded(1).apply(&mut sample, &mut rng(seed));
            seen.insert(sample.pixels().iter().position(|&x| x == 9));
        }
        assert_eq!(seen.len(), 9, "the one bright pixel moves by −1, 0 or 1 in both directions");
    }

    #[test]
    fn a_smaller_window_reaches_every_place() {
        let crop = RandomCrop::new([2, 3]);
        assert_eq!(crop.output_shape([1, 4, 4]), [1, 2, 3]);
        let seen: BTreeSet<u8> = (0..200)
            .map(|seed| {
                let pixels: Vec<u8> = (0..16).collect();
                let mut sample = sample(&pixels, [1, 4, 4]);
                crop.apply(&mut sample, &mut rng(seed));
                let x = sample.pixels()[0];
                assert_eq!(sample.pixels(), [x, x + 1, x + 2, x + 4, x + 5, x + 6]);
                x
            })
            .collect();
        assert_eq!(Vec::from_iter(seen), [0, 1, 4, 5, 8, 9]);
    }

    #[test]
    fn reflected_padding_has_no_pixels_of_its_own() {
        for seed in 0..50 {
            let mut sample = sample(&[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 3, 3]);
            RandomCrop::padded(2).padding_mode(PaddingMode::Reflect).apply(&mut sample, &mut rng(seed));
            assert!(!sample.pixels().contains(&0), "{:?}", sample.pixels());
        }
    }

    #[test]
    fn only_the_crop_that_the_gpu_has_runs_there() {
        assert_eq!(RandomCrop::padded(4).on_gpu(), Some(ImageStep::Crop { padding: 4 }));
        assert_eq!(RandomCrop::padded(4).padding_mode(PaddingMode::Reflect).on_gpu(), None);
        assert_eq!(RandomCrop::new([24, 24]).padding(4).on_gpu(), None);
    }

    #[test]
    fn windows_and_padding_that_do_not_fit_are_errors() {
        assert_eq!(
            panic_text(|| RandomCrop::new([9, 8]).padding(1).output_shape([3, 6, 7])),
            "RandomCrop: the window (H,W) = (9, 8) is larger than the images, (C,H,W) = (3, 6, 7) with padding 1\n  \
             rule: window ≤ image + 2·padding"
        );
        assert_eq!(
            panic_text(|| RandomCrop::padded(4).padding_mode(PaddingMode::Reflect).output_shape([1, 4, 8])),
            "RandomCrop: padding 4 cannot be a reflection of images of (C,H,W) = (1, 4, 8)\n  \
             rule: padding < H and padding < W"
        );
        assert_eq!(panic_text(|| RandomCrop::new([0, 8])), "RandomCrop: height is 0\n  rule: 1 ≤ height < 65536");
        assert_eq!(
            panic_text(|| RandomCrop::padded(70_000)),
            "RandomCrop: padding is 70000\n  rule: 0 ≤ padding ≤ 65535"
        );
    }

    proptest! {
        // The reference pads explicitly, then crops.
        #[test]
        fn crop_equals_pad_then_slice(h in 1_usize..6, w in 1_usize..6, padding in 0_usize..8, seed in 0_u64..1000) {
            let pixels: Vec<u8> = (1..=2 * h * w).map(|x| x as u8).collect();
            let mut sample = sample(&pixels, [2, h, w]);
            RandomCrop::padded(padding).apply(&mut sample, &mut rng(seed));
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
