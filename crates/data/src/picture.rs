//! A single image of any size, from a PNG or JPEG file.

use std::path::Path;

use crate::error::{DataError, Result};
use crate::files;
use crate::image_file::{self, ImageFile};
use crate::transform::Sample;

/// The most bytes of an image file; one of a large camera has a tenth.
const MAX_FILE: u64 = 256 << 20;

/// An image of any size as 8-bit RGB, turned and mirrored as its EXIF orientation says, on a white page if it is transparent.
///
/// The contents of a file decide whether it is PNG or JPEG. Gray, palette, 16-bit and CMYK images are converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    sample: Sample,
    transparent: bool,
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
        Ok(Self { sample, transparent })
    }

    /// (3, H, W).
    pub fn shape(&self) -> [usize; 3] {
        self.sample.shape()
    }

    /// The pixels, (3, H, W) row-major.
    pub fn pixels(&self) -> &[u8] {
        self.sample.pixels()
    }

    /// Whether the file has transparent pixels, which are laid on white.
    pub fn is_transparent(&self) -> bool {
        self.transparent
    }
}
