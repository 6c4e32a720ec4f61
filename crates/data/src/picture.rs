//! A single image of any size, from a PNG or JPEG file, and its preparation for a net.

mod ink;
mod paper;
mod strokes;

use std::path::{Path, PathBuf};

use chainrule_tensor::{Key, Purpose};

use crate::error::{DataError, Result};
use crate::files;
use crate::image_file::{self, ImageFile};
use crate::transform::{Resize, Sample, Transform};

/// The most bytes of an image file; one of a large camera has a tenth.
const MAX_FILE: u64 = 256 << 20;

/// An image of any size as 8-bit RGB, turned and mirrored as its EXIF orientation says, on a white page if it is transparent.
///
/// The contents of a file decide whether it is PNG or JPEG. Gray, palette, 16-bit and CMYK images are converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    path: PathBuf,
    sample: Sample,
    transparent: bool,
}

/// A picture in the form of a net's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    sample: Sample,
    notes: Vec<String>,
}

impl Picture {
    /// Reads a PNG or JPEG file.
    ///
    /// # Errors
    /// If it cannot be read or decoded, or its image takes more than 512 MiB; the message names the file.
    pub fn open(path: &Path) -> Result<Self> {
        Self::decode(&files::read_within(path, MAX_FILE, "an image file")?, path)
    }

    /// Decodes the contents of a PNG or JPEG file; errors name it as `path`.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Self> {
        files::check_start(bytes, path)?;
        let failed = |source| DataError::Decode { path: path.into(), help: "convert it to PNG or JPEG again", source };
        let image = ImageFile::open(bytes).map_err(failed)?;
        let (h, w) = image.size();
        let (pixels, transparent) = image.decode_on_white().map_err(failed)?;
        let mut sample = Sample::default();
        sample.rebuild([3, h, w], |_, planes| image_file::split_channels(&pixels, planes));
        Ok(Self { path: path.into(), sample, transparent })
    }

    /// (3, H, W).
    pub fn shape(&self) -> [usize; 3] {
        self.sample.shape()
    }

    /// The pixels, (3, H, W) row-major.
    pub fn pixels(&self) -> &[u8] {
        self.sample.pixels()
    }

    /// The picture for a net of photographs: the largest window at the center with the aspect ratio of `size` (H, W), resized
    /// to it with antialiasing.
    ///
    /// # Panics
    /// If a side of `size` is outside 1 to 65 535.
    #[track_caller]
    pub fn photograph(&self, size: [usize; 2]) -> Prepared {
        let [_, h, w] = self.shape();
        let [height, width] = size;
        // As high as the picture, or as wide.
        let window =
            if h * width <= w * height { [h, (h * width / height).max(1)] } else { [(w * height / width).max(1), w] };
        let start = [(h - window[0]) / 2, (w - window[1]) / 2];
        let mut prepared = Prepared { sample: crop(&self.sample, start, window), notes: self.notes() };
        if window != [h, w] {
            prepared.notes.push(format!("cropped at its center from {} to {} pixels", pixels([h, w]), pixels(window)));
        }
        prepared.resize(size);
        prepared
    }

    /// The picture of an object for a net of gray images of size (H, W) on black, such as those of Fashion-MNIST: as for
    /// [`photograph`](Self::photograph), in gray, and inverted if its edge is light.
    ///
    /// # Panics
    /// As for [`photograph`](Self::photograph).
    #[track_caller]
    pub fn gray_object(&self, size: [usize; 2]) -> Prepared {
        let mut prepared = self.photograph(size);
        prepared.sample = gray(&prepared.sample);
        prepared.notes.push("converted to gray".into());
        if paper::edge_brightness(prepared.pixels(), size) > 127.5 {
            prepared.sample.pixels_mut().iter_mut().for_each(|x| *x = 255 - *x);
            prepared.notes.push("light background, inverted".into());
        }
        prepared
    }

    /// What was done when the file was read.
    fn notes(&self) -> Vec<String> {
        let on_white = self.transparent.then(|| "its transparent pixels are laid on white".into());
        on_white.into_iter().collect()
    }
}

impl Prepared {
    /// (C, H, W).
    pub fn shape(&self) -> [usize; 3] {
        self.sample.shape()
    }

    /// The pixels, (C, H, W) row-major.
    pub fn pixels(&self) -> &[u8] {
        self.sample.pixels()
    }

    /// What was done to the picture, in order, as parts of a sentence such as "resized from 640×480 to 32×32 pixels"; programs
    /// print it.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Resizes to (H, W), if it has another size.
    fn resize(&mut self, size: [usize; 2]) {
        let [_, h, w] = self.shape();
        if size != [h, w] {
            resize(&mut self.sample, size);
            self.notes.push(format!("resized from {} to {} pixels", pixels([h, w]), pixels(size)));
        }
    }
}

fn resize(sample: &mut Sample, size: [usize; 2]) {
    // It draws no random numbers.
    Resize::new(size).apply(sample, &mut Key::new(0, Purpose::AUGMENT).rng());
}

/// The window of (H, W) pixels of an image, (C, H, W), from row `top` and column `left`.
fn crop(image: &Sample, [top, left]: [usize; 2], [height, width]: [usize; 2]) -> Sample {
    let [c, h, w] = image.shape();
    let mut window = Sample::default();
    window.rebuild([c, height, width], |_, new| {
        for (i, row) in new.chunks_exact_mut(width).enumerate() {
            let (channel, i) = (i / height, i % height);
            row.copy_from_slice(&image.pixels()[(channel * h + top + i) * w + left..][..width]);
        }
    });
    window
}

/// The luma of an image (3, H, W) as one of (1, H, W): 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded.
fn gray(image: &Sample) -> Sample {
    let [_, h, w] = image.shape();
    let (r, gb) = image.pixels().split_at(h * w);
    let (g, b) = gb.split_at(h * w);
    let luma = |((r, g), b): ((&u8, &u8), &u8)| {
        ((299 * u32::from(*r) + 587 * u32::from(*g) + 114 * u32::from(*b) + 500) / 1000) as u8
    };
    let mut gray = Sample::default();
    let lumas: Vec<u8> = r.iter().zip(g).zip(b).map(luma).collect();
    gray.set(&lumas, [1, h, w]);
    gray
}

/// As width×height, the way image sizes are written.
fn pixels([h, w]: [usize; 2]) -> String {
    format!("{w}×{h}")
}
