//! Image preprocessing: 8-bit transforms, then normalization to `f32`.
//!
//! Parameters, conventions and formulas are torchvision's for 8-bit tensors (`torchvision.transforms.functional`); each
//! transform names the exceptions. `tests/reference/transforms.py` computes the values to which the tests compare.

mod affine;
mod color;
mod color_jitter;
mod crop;
mod cutout;
mod flip;
mod invert;
mod normalize;
mod random_affine;
mod random_crop;
#[cfg(test)]
mod reference;
mod resize;
mod rotation;

use std::fmt::Debug;
use std::ops::{RangeBounds, RangeInclusive};

use chainrule_tensor::{ImageStep, Rng, ranges};

pub use affine::Interpolation;
pub use color_jitter::ColorJitter;
pub use crop::{CenterCrop, PaddingMode};
pub use cutout::Cutout;
pub use flip::{AlternatingFlip, RandomHorizontalFlip};
pub use invert::Invert;
pub use normalize::Normalize;
pub use random_affine::RandomAffine;
pub use random_crop::RandomCrop;
pub use resize::Resize;
pub use rotation::RandomRotation;

/// Where a sample comes from: with this, what a transform does in one epoch can depend on what it did in another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The seed of the loader.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u32,
    /// The index of the image in its set, whatever the order of the epoch.
    pub index: u32,
}

/// One 8-bit image, (C, H, W) row-major, to which transforms are applied in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pixels: Vec<u8>,
    shape: [usize; 3],
    origin: Origin,
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

    /// Where the image comes from; all 0 unless it comes from a [`Loader`](crate::Loader) or was
    /// [set](Self::set_origin).
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Says where the image comes from.
    pub fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// The pixels, (C, H, W) row-major, mutably.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
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
/// index and the position of the transform in the list, or is a function of [`Sample::origin`]: any worker makes the same
/// pixels.
pub trait Transform: Debug + Send + Sync {
    /// Transforms the image in place.
    fn apply(&self, sample: &mut Sample, rng: &mut Rng);

    /// The output shape (C, H, W) for an input of this shape; the same for every image.
    ///
    /// # Panics
    /// If the transform cannot take images of this shape. [`Loader::transforms`](crate::Loader::transforms) calls it, so
    /// that the mistake shows before the first batch.
    fn output_shape(&self, shape: [usize; 3]) -> [usize; 3] {
        shape
    }

    /// The equivalent GPU transform, with the same random numbers; `None` if it must run on the CPU.
    fn on_gpu(&self) -> Option<ImageStep> {
        None
    }
}

/// A uniform number from the range.
fn uniform(rng: &mut Rng, range: &RangeInclusive<f64>) -> f64 {
    range.start() + (range.end() - range.start()) * rng.uniform()
}

/// Checks that a range of random values, `name` of `owner`, is ordered and within `bounds`.
#[track_caller]
fn check_range(owner: &str, name: &str, range: &RangeInclusive<f64>, bounds: impl RangeBounds<f64> + Clone) {
    let (&low, &high) = (range.start(), range.end());
    ranges::check(owner, name, low, bounds.clone());
    ranges::check(owner, name, high, bounds);
    assert!(low <= high, "{owner}: {name} is from {low} to {high}\n  rule: the first number is at most the second");
}

/// Checks a height and width.
#[track_caller]
fn check_size(owner: &str, size: [usize; 2]) {
    for (name, side) in ["height", "width"].into_iter().zip(size) {
        ranges::check(owner, name, side as f64, 1.0..f64::from(u16::MAX) + 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chainrule_tensor::{Key, Purpose};

    pub(super) fn rng(seed: u64) -> Rng {
        Key::new(seed, Purpose::AUGMENT).rng()
    }

    pub(super) fn sample(pixels: &[u8], shape: [usize; 3]) -> Sample {
        let mut sample = Sample::default();
        sample.set(pixels, shape);
        sample
    }

    /// The text of the panic of `f`.
    pub(super) fn panic_text<T>(f: impl FnOnce() -> T) -> String {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).err().expect("it panics");
        panic.downcast_ref::<String>().expect("a formatted text").clone()
    }
}
