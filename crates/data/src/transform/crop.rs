//! Windows of an image, which may extend beyond it, and the center crop.

use chainrule_tensor::Rng;

use super::{Sample, Transform, check_size};

/// The pixels beyond the border of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaddingMode {
    /// Zeros.
    Zero,
    /// The image mirrored at its border pixels, which are not repeated: 3 2 | 1 2 3 | 2 1.
    Reflect,
}

impl PaddingMode {
    /// The index within `0..n` that gives pixel `i`; `None` for a zero.
    fn index(self, i: isize, n: usize) -> Option<usize> {
        let last = n as isize - 1;
        match self {
            _ if (0..=last).contains(&i) => Some(i as usize),
            Self::Zero => None,
            Self::Reflect => Some((if i < 0 { -i } else { 2 * last - i }) as usize),
        }
    }
}

/// Replaces the image by the window of (H, W) pixels whose first pixel is at row `top` and column `left`.
pub(super) fn window(sample: &mut Sample, [top, left]: [isize; 2], size: [usize; 2], mode: PaddingMode) {
    let [c, h, w] = sample.shape();
    let [height, width] = size;
    // The columns from..to of the window overlap the image.
    let from = ((-left).max(0) as usize).min(width);
    let to = ((w as isize - left).max(0) as usize).clamp(from, width);
    sample.rebuild([c, height, width], |old, new| {
        for (old, new) in old.chunks_exact(h * w).zip(new.chunks_exact_mut(height * width)) {
            for (i, row) in (top..).zip(new.chunks_exact_mut(width)) {
                let Some(i) = mode.index(i, h) else { continue };
                let old = &old[i * w..][..w];
                if from < to {
                    row[from..to].copy_from_slice(&old[(from as isize + left) as usize..][..to - from]);
                }
                for j in (0..from).chain(to..width) {
                    row[j] = mode.index(j as isize + left, w).map_or(0, |j| old[j]);
                }
            }
        }
    });
}

/// Crops a window at the center. Where it is larger than the image, zeros are added on both sides.
///
/// An odd difference d is split as in torchvision: a crop starts at d/2 rounded to even, padding has ⌊d/2⌋ zeros first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CenterCrop {
    size: [usize; 2],
}

impl CenterCrop {
    /// A window of (H, W).
    ///
    /// # Panics
    /// If a side is outside 1 to 65 535.
    #[track_caller]
    pub fn new(size: [usize; 2]) -> Self {
        check_size("CenterCrop", size);
        Self { size }
    }
}

impl Transform for CenterCrop {
    fn apply(&self, sample: &mut Sample, _rng: &mut Rng) {
        let start = |of_image: usize, of_window: usize| match of_image.checked_sub(of_window) {
            Some(difference) => (difference as f64 / 2.0).round_ties_even() as isize,
            None => -((of_window - of_image) as isize / 2),
        };
        let [_, h, w] = sample.shape();
        let [height, width] = self.size;
        window(sample, [start(h, height), start(w, width)], self.size, PaddingMode::Zero);
    }

    fn output_shape(&self, [c, _, _]: [usize; 3]) -> [usize; 3] {
        let [h, w] = self.size;
        [c, h, w]
    }
}
