//! CIFAR-10: 50 000 training and 10 000 test images of ten classes, (3, 32, 32).
//!
//! By A. Krizhevsky, V. Nair and G. Hinton. The binary version has records of one label byte and
//! 3072 pixels: the red, green and blue planes, each row-major. Source: <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use tar::Archive;

use crate::dataset::{Dataset, Images};
use crate::error::{DataError, Result};
use crate::files;

#[cfg(feature = "download")]
use crate::download::{Downloader, Progress, RemoteFile};

const NAME: &str = "CIFAR-10";
const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;
const RECORD: usize = 1 + PIXELS;
const CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST: &str = "test_batch.bin";
const META: &str = "batches.meta.txt";
/// The folder inside the published archive.
const FOLDER: &str = "cifar-10-batches-bin";
const ARCHIVE: &str = "cifar-10-binary.tar.gz";

/// The published archive, from its authors and from the `MindSpore` tutorials' copy; its published md5 is
/// c32a1d4ab5d03f1284b67883e8d87530.
#[cfg(feature = "download")]
const REMOTE: RemoteFile<'static> = RemoteFile {
    name: ARCHIVE,
    bytes: 170_052_171,
    sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    mirrors: &[
        "https://www.cs.toronto.edu/~kriz",
        "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets",
    ],
};

/// Reads CIFAR-10 from `path`: the archive, a directory that contains the archive or the batch files (directly or in
/// `cifar-10-batches-bin`), or (feature `images`) a folder of images, `train/<class>/*.png` and `test/<class>/*.png`.
///
/// # Errors
/// If `path` has none of these, or a file is damaged.
pub fn from_path(path: &Path) -> Result<Dataset> {
    if path.is_file() {
        return from_archive(path);
    }
    for directory in [path, &path.join(FOLDER)] {
        if directory.join(TRAIN[0]).is_file() || directory.join(TEST).is_file() {
            return from_dir(directory);
        }
    }
    if path.join(ARCHIVE).is_file() {
        return from_archive(&path.join(ARCHIVE));
    }
    #[cfg(feature = "images")]
    if path.join("train").is_dir() {
        return crate::image_folder::load(NAME, path);
    }
    let images = if cfg!(feature = "images") { Some("train/<class>/*.{png,jpg}".to_owned()) } else { None };
    let looked_for = [TRAIN[0].to_owned(), format!("{FOLDER}/{}", TRAIN[0]), ARCHIVE.to_owned()];
    Err(missing(&looked_for.into_iter().chain(images).collect::<Vec<_>>(), " or ", path))
}

/// Reads the six batch files of a directory, and the class names from `batches.meta.txt` if it exists.
///
/// # Errors
/// If a batch is missing or damaged; the message lists all missing files.
pub fn from_dir(directory: &Path) -> Result<Dataset> {
    let mut batches = BTreeMap::new();
    for name in TRAIN.into_iter().chain([TEST, META]) {
        let path = directory.join(name);
        if path.is_file() {
            batches.insert(name, files::read(&path)?);
        }
    }
    from_batches(&batches, directory)
}

/// Reads the published `.tar.gz`; the name of its top folder does not matter.
///
/// # Errors
/// If it is not a gzipped tar archive, or a batch in it is missing or damaged.
pub fn from_archive(path: &Path) -> Result<Dataset> {
    let damaged = |source| files::cannot_read(path, source);
    let mut archive = Archive::new(files::open_gz(path)?);
    let mut batches = BTreeMap::new();
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let entry_path = entry.path().map_err(damaged)?;
        let name = TRAIN.into_iter().chain([TEST, META]).find(|name| entry_path.file_name() == Some(name.as_ref()));
        if let Some(name) = name {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(damaged)?;
            batches.insert(name, bytes);
        }
    }
    from_batches(&batches, path)
}

/// Reads the archive from the downloader's cache, and downloads it first if needed.
///
/// # Errors
/// If every mirror fails, if the archive is not cached and the downloader is offline, or if the cache is not writable.
#[cfg(feature = "download")]
pub fn download(downloader: &Downloader, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Dataset> {
    from_archive(&downloader.fetch(&REMOTE, progress)?)
}

/// Reads from `data_dir` if given, else from the cache or the network.
///
/// # Errors
/// Those of [`from_path`] and [`download()`].
#[cfg(feature = "download")]
pub fn load(data_dir: Option<&Path>, offline: bool, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Dataset> {
    match data_dir {
        Some(path) => from_path(path),
        None => download(&Downloader::in_user_cache("cifar10")?.offline(offline), progress),
    }
}

/// Builds the dataset from file contents by name; `place` is their directory or archive.
fn from_batches(batches: &BTreeMap<&str, Vec<u8>>, place: &Path) -> Result<Dataset> {
    let absent: Vec<String> =
        TRAIN.into_iter().chain([TEST]).filter(|name| !batches.contains_key(name)).map(str::to_owned).collect();
    if !absent.is_empty() {
        return Err(missing(&absent, ", ", place));
    }
    let classes = class_names(batches.get(META).map(Vec::as_slice), &place.join(META))?;
    let set = |names: &[&str]| {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for name in names {
            parse_batch(&batches[name], &place.join(name), &mut pixels, &mut labels)?;
        }
        let [c, h, w] = SHAPE;
        Images::new(pixels, [labels.len(), c, h, w], labels, classes.clone())
    };
    Dataset::new(NAME, set(&TRAIN)?, set(&[TEST])?)
}

/// Appends one batch file's images and labels.
fn parse_batch(bytes: &[u8], path: &Path, pixels: &mut Vec<u8>, labels: &mut Vec<u8>) -> Result<()> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
        return Err(DataError::WrongLength {
            path: path.into(),
            detail: format!("{} whole records of {RECORD} bytes, then {}", bytes.len() / RECORD, bytes.len() % RECORD),
            // By far the most common cause is a truncated last record.
            expected: (bytes.len() / RECORD + 1) as u64 * RECORD as u64,
            found: bytes.len() as u64,
        });
    }
    pixels.reserve(bytes.len() / RECORD * PIXELS);
    for (sample, record) in bytes.chunks_exact(RECORD).enumerate() {
        let label = record[0];
        if usize::from(label) >= CLASSES.len() {
            return Err(DataError::LabelOutOfRange { path: path.into(), sample, label, classes: CLASSES.len() });
        }
        labels.push(label);
        pixels.extend_from_slice(&record[1..]);
    }
    Ok(())
}

/// The class names from `batches.meta.txt`, one per line, or the standard ten.
fn class_names(meta: Option<&[u8]>, path: &Path) -> Result<Vec<String>> {
    let Some(meta) = meta else {
        return Ok(CLASSES.map(str::to_owned).to_vec());
    };
    let text = String::from_utf8_lossy(meta);
    let names: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.len() != CLASSES.len() {
        return Err(DataError::Inconsistent {
            what: path.display().to_string(),
            problem: format!("{} class names, expected {}", names.len(), CLASSES.len()),
            help: "remove the file to use CIFAR-10's own names, or write one name per line",
        });
    }
    Ok(names)
}

fn missing(names: &[String], separator: &str, path: &Path) -> DataError {
    DataError::Missing {
        dataset: NAME,
        missing: names.join(separator),
        path: path.into(),
        help: format!("put {ARCHIVE} or its files there, or pass the directory that contains them (--data-dir)"),
    }
}
