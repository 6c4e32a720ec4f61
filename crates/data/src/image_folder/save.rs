//! Writes a dataset as a folder of PNG files.

use std::fs;
use std::io;
use std::path::Path;

use crate::dataset::Dataset;
use crate::error::{DataError, Result};
use crate::image_file;

/// Writes a dataset as a folder that [`load`](super::load) reads: `train/<class>/<index>.png` and `test/<class>/<index>.png`,
/// grayscale or RGB.
///
/// # Errors
/// If images have a number of channels other than 1 or 3, or a file cannot be written.
pub fn save(dataset: &Dataset, directory: &Path) -> Result<()> {
    for (part, images) in [("train", dataset.train()), ("test", dataset.test())] {
        let [channels, h, w] = images.image_shape();
        if channels != 1 && channels != 3 {
            return Err(DataError::Inconsistent {
                what: dataset.name().into(),
                problem: format!("images with {channels} channels cannot be saved as PNG"),
                help: "use one channel (grayscale) or three (RGB)",
            });
        }
        for class in images.classes() {
            let class_directory = directory.join(part).join(class);
            fs::create_dir_all(&class_directory).map_err(|source| cannot_write(&class_directory, source))?;
        }
        for (i, &label) in images.labels().iter().enumerate() {
            let path = directory.join(part).join(&images.classes()[usize::from(label)]).join(format!("{i:06}.png"));
            // (C, H, W) → (H, W, C)
            let pixels = images.image(i);
            let interleaved: Vec<u8> =
                (0..h * w).flat_map(|at| (0..channels).map(move |c| pixels[c * h * w + at])).collect();
            let bytes = image_file::encode_png(&interleaved, [h, w]);
            fs::write(&path, bytes).map_err(|source| cannot_write(&path, source))?;
        }
    }
    Ok(())
}

fn cannot_write(path: &Path, source: io::Error) -> DataError {
    DataError::Io { action: "write", path: path.into(), help: "choose a writable directory", source }
}
