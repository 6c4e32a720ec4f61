//! Folders of images: `train/<class>/*.{png,jpg,jpeg}` and `test/<class>/…`, one folder per class.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::dataset::{Dataset, Images};
use crate::error::{DataError, Result};
use crate::files;
use crate::image_file::{self, RgbImage};

/// Labels are stored as bytes.
const MAX_CLASSES: usize = 256;

/// Reads the training and the test set of a folder as RGB, (3, H, W); grayscale images get three equal channels.
///
/// Classes are sorted by name, images by class and then by file name, independent of the number of decoding threads.
/// Hidden files and files with other extensions are skipped.
///
/// # Errors
/// If a set, a class or its images are missing, if a file cannot be decoded, or if images differ in size; the message
/// names the file.
pub fn load(name: &str, directory: &Path) -> Result<Dataset> {
    Dataset::new(name, load_part(&directory.join("train"))?, load_part(&directory.join("test"))?)
}

/// Reads one set, a directory with one folder per class.
///
/// # Errors
/// As for [`load`].
pub fn load_part(directory: &Path) -> Result<Images> {
    let class_directories = entries(directory, Path::is_dir)?;
    if class_directories.is_empty() {
        return Err(missing("class folders", directory));
    }
    if class_directories.len() > MAX_CLASSES {
        return Err(DataError::Inconsistent {
            what: directory.display().to_string(),
            problem: format!(
                "{} class folders, but at most {MAX_CLASSES} classes are supported",
                class_directories.len()
            ),
            help: "merge classes, or split the dataset",
        });
    }
    let mut classes = Vec::new();
    let mut labels = Vec::new();
    let mut paths = Vec::new();
    for (label, class_directory) in class_directories.iter().enumerate() {
        let images = entries(class_directory, is_image)?;
        if images.is_empty() {
            return Err(missing("images (*.png, *.jpg, *.jpeg)", class_directory));
        }
        classes.push(file_name(class_directory));
        labels.resize(labels.len() + images.len(), label as u8);
        paths.extend(images);
    }
    let first = decode(&paths[0])?;
    let (h, w) = (first.height, first.width);
    let pixels = decode_all(&paths, (h, w))?;
    Images::new(pixels, [paths.len(), 3, h, w], labels, classes)
}

/// Writes a dataset as a folder that [`load`] reads: `train/<class>/<index>.png` and `test/<class>/<index>.png`, grayscale or
/// RGB.
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

/// Pixels (N, 3, H, W) of files, which must all have the same size.
fn decode_all(paths: &[PathBuf], (h, w): (usize, usize)) -> Result<Vec<u8>> {
    let plane = h * w;
    let mut pixels = vec![0; paths.len() * 3 * plane];
    // Each image has a fixed range in `pixels`, so the order does not depend on the threads.
    let failures: Vec<Option<DataError>> = pixels
        .par_chunks_exact_mut(3 * plane)
        .zip(paths)
        .map(|(output, path)| {
            let image = match decode(path) {
                Ok(image) => image,
                Err(error) => return Some(error),
            };
            let found = (image.height, image.width);
            if found != (h, w) {
                let (path, first) = (path.clone(), paths[0].clone());
                return Some(DataError::ImageSize { path, found, first, expected: (h, w) });
            }
            // (H, W, 3) → (3, H, W)
            for (i, rgb) in image.pixels.chunks_exact(3).enumerate() {
                for (channel, &value) in rgb.iter().enumerate() {
                    output[channel * plane + i] = value;
                }
            }
            None
        })
        .collect();
    // Reports the first failure in file order, so the message does not depend on the threads.
    match failures.into_iter().flatten().next() {
        Some(error) => Err(error),
        None => Ok(pixels),
    }
}

fn decode(path: &Path) -> Result<RgbImage> {
    image_file::decode(&files::read(path)?).map_err(|source| DataError::Decode { path: path.into(), source })
}

/// The non-hidden entries that `keep` accepts, sorted by name.
fn entries(directory: &Path, keep: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let cannot_read = |source| files::cannot_read(directory, source);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(cannot_read)? {
        let path = entry.map_err(cannot_read)?.path();
        if !file_name(&path).starts_with('.') && keep(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    path.is_file() && extension.is_some_and(|extension| extension == "png" || extension == "jpg" || extension == "jpeg")
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn cannot_write(path: &Path, source: std::io::Error) -> DataError {
    DataError::Io { action: "write", path: path.into(), help: "choose a writable directory", source }
}

fn missing(what: &str, path: &Path) -> DataError {
    DataError::Missing {
        dataset: "image folder",
        missing: what.into(),
        path: path.into(),
        help: "arrange the images as train/<class>/*.png and test/<class>/*.png (or jpg)".into(),
    }
}

/// Whether a directory looks like a folder of images.
pub(crate) fn is_one(directory: &Path) -> bool {
    directory.join("train").is_dir()
}
