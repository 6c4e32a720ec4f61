//! Bilinear resizing with antialiasing.

use chainrule_tensor::Rng;

use super::{Sample, Transform, check_size};

/// Resizes by bilinear interpolation with antialiasing, torchvision's default.
///
/// The pixels are exactly those of torchvision on PIL images with Pillow 11 (`Resample.c`: a triangle filter as wide as the
/// scale, fixed-point weights, first horizontally, then vertically, rounded to 8 bits in between). Pillow 13 does the vertical
/// pass first at some sizes, and torchvision on 8-bit tensors has weights of fewer bits; either differs by at most 1. A result of
/// one column is an exception: there torchvision on tensors repeats the first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    to: Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Exact([usize; 2]),
    ShorterSide(usize),
}

impl Resize {
    /// To (H, W), whatever the aspect ratio.
    ///
    /// # Panics
    /// If a side is outside 1 to 65 535.
    #[track_caller]
    pub fn new(size: [usize; 2]) -> Self {
        check_size("Resize", size);
        Self { to: Size::Exact(size) }
    }

    /// Until the shorter side is `side`; the other one keeps the aspect ratio, rounded down.
    ///
    /// # Panics
    /// If `side` is outside 1 to 65 535.
    #[track_caller]
    pub fn shorter_side(side: usize) -> Self {
        check_size("Resize", [side, side]);
        Self { to: Size::ShorterSide(side) }
    }
}

impl Transform for Resize {
    fn apply(&self, sample: &mut Sample, _rng: &mut Rng) {
        let [_, height, width] = self.output_shape(sample.shape());
        let [c, h, w] = sample.shape();
        if width != w {
            let weights = Weights::new(w, width);
            sample.rebuild([c, h, width], |old, new| {
                for (old, new) in old.chunks_exact(w).zip(new.chunks_exact_mut(width)) {
                    for (y, (start, weights)) in new.iter_mut().zip(weights.iter()) {
                        *y = weighted(weights, old[start..].iter());
                    }
                }
            });
        }
        if height != h {
            let weights = Weights::new(h, height);
            sample.rebuild([c, height, width], |old, new| {
                for (old, new) in old.chunks_exact(h * width).zip(new.chunks_exact_mut(height * width)) {
                    for (new, (start, weights)) in new.chunks_exact_mut(width).zip(weights.iter()) {
                        for (j, y) in new.iter_mut().enumerate() {
                            *y = weighted(weights, old[start * width + j..].iter().step_by(width));
                        }
                    }
                }
            });
        }
    }

    fn output_shape(&self, [c, h, w]: [usize; 3]) -> [usize; 3] {
        match self.to {
            Size::Exact([height, width]) => [c, height, width],
            Size::ShorterSide(side) if w <= h => [c, side * h / w, side],
            Size::ShorterSide(side) => [c, side, side * w / h],
        }
    }
}

/// The fractional bits of a weight: a sum of 255 · weight fits in an `i32`.
const BITS: u32 = 32 - 8 - 2;

/// For each output position, the first input position that enters it, and the weights from there on.
struct Weights {
    starts: Vec<(usize, usize)>,
    all: Vec<i32>,
}

impl Weights {
    fn new(of_input: usize, of_output: usize) -> Self {
        let scale = of_input as f64 / of_output as f64;
        // Half the width of the triangle: as wide as an output pixel when the image shrinks, hence no aliasing.
        let support = scale.max(1.0);
        let mut weights = Self { starts: Vec::with_capacity(of_output), all: Vec::new() };
        let mut triangle = Vec::new();
        for i in 0..of_output {
            let center = (i as f64 + 0.5) * scale;
            let start = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(of_input);
            triangle.clear();
            triangle.extend((start..end).map(|x| (1.0 - ((x as f64 - center + 0.5) / support).abs()).max(0.0)));
            let sum: f64 = triangle.iter().sum();
            weights.all.extend(triangle.iter().map(|w| (0.5 + w / sum * f64::from(1 << BITS)) as i32));
            weights.starts.push((start, end - start));
        }
        weights
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let mut rest = &self.all[..];
        self.starts.iter().map(move |&(start, len)| {
            let (weights, after) = rest.split_at(len);
            rest = after;
            (start, weights)
        })
    }
}

/// Σ weight · pixel, rounded.
fn weighted<'a>(weights: &[i32], pixels: impl Iterator<Item = &'a u8>) -> u8 {
    let sum: i32 = weights.iter().zip(pixels).map(|(&weight, &pixel)| weight * i32::from(pixel)).sum();
    ((sum + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::super::tests::{panic_text, rng, sample};
    use super::*;

    #[test]
    fn a_constant_image_stays_constant_at_every_size() {
        for h in 1..12 {
            for w in 1..12 {
                let mut sample = sample(&[255; 2 * 5 * 7], [2, 5, 7]);
                Resize::new([h, w]).apply(&mut sample, &mut rng(0));
                assert_eq!(sample.shape(), [2, h, w]);
                assert!(sample.pixels().iter().all(|&x| x == 255), "{h}×{w}: {:?}", sample.pixels());
            }
        }
    }

    #[test]
    fn sizes_outside_the_range_are_errors() {
        assert_eq!(panic_text(|| Resize::new([3, 0])), "Resize: width is 0\n  rule: 1 ≤ width < 65536");
        assert_eq!(panic_text(|| Resize::shorter_side(65_536)), "Resize: height is 65536\n  rule: 1 ≤ height < 65536");
    }
}
