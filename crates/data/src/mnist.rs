//! MNIST: 60 000 training and 10 000 test images of handwritten digits, (1, 28, 28).
//!
//! By Y. `LeCun`, C. Cortes and C. J. C. Burges, CC BY-SA 3.0.

use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, Images};
use crate::error::{DataError, Result};
use crate::files;
use crate::idx;

#[cfg(feature = "download")]
use crate::download::{Downloader, Progress, RemoteFile};

const NAME: &str = "MNIST";
const CLASSES: usize = 10;
/// The (images, labels) files of the training and the test set.
const FILES: [[&str; 2]; 2] =
    [["train-images-idx3-ubyte", "train-labels-idx1-ubyte"], ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]];

/// The published .gz files on their two long-term mirrors.
#[cfg(feature = "download")]
const REMOTE: [RemoteFile<'static>; 4] = {
    const MIRRORS: &[&str] =
        &["https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"];
    [
        RemoteFile {
            name: "train-images-idx3-ubyte.gz",
            bytes: 9_912_422,
            sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            mirrors: MIRRORS,
        },
        RemoteFile {
            name: "train-labels-idx1-ubyte.gz",
            bytes: 28_881,
            sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            mirrors: MIRRORS,
        },
        RemoteFile {
            name: "t10k-images-idx3-ubyte.gz",
            bytes: 1_648_877,
            sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            mirrors: MIRRORS,
        },
        RemoteFile {
            name: "t10k-labels-idx1-ubyte.gz",
            bytes: 4_542,
            sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            mirrors: MIRRORS,
        },
    ]
};

/// The dataset embedded in the program.
///
/// # Panics
/// Never: the embedded data are valid.
#[cfg(feature = "embedded-mnist")]
pub fn embedded() -> Dataset {
    let raw = chainrule_mnist::unpack();
    let set = |images, labels, [images_name, labels_name]: [&str; 2]| {
        let embedded = Path::new("(embedded)");
        parse_set((images, &embedded.join(images_name)), (labels, &embedded.join(labels_name)))
    };
    let train = set(&raw.train_images, &raw.train_labels, FILES[0]);
    let test = set(&raw.test_images, &raw.test_labels, FILES[1]);
    train.and_then(|train| Dataset::new(NAME, train, test?)).unwrap_or_else(|error| unreachable!("{error}"))
}

/// Reads the four IDX files of a directory, each of them raw or gzipped (`.gz`).
///
/// # Errors
/// If a file is missing, damaged or of another kind; the message lists all missing files.
pub fn from_dir(directory: &Path) -> Result<Dataset> {
    let find = |name: &str| {
        let raw = directory.join(name);
        let gz = directory.join(format!("{name}.gz"));
        if raw.is_file() { Some(raw) } else { gz.is_file().then_some(gz) }
    };
    let missing: Vec<&str> = FILES.into_iter().flatten().filter(|name| find(name).is_none()).collect();
    if !missing.is_empty() {
        return Err(DataError::Missing {
            dataset: NAME,
            missing: missing.join(", "),
            path: directory.into(),
            help: "put the files there, raw or gzipped (.gz), or pass the directory that contains them (--data-dir)"
                .into(),
        });
    }
    let read = |name: &str| -> Result<(Vec<u8>, PathBuf)> {
        // If the file has disappeared since, the read reports it.
        let path = find(name).unwrap_or_else(|| directory.join(name));
        let gzipped = path.extension().is_some_and(|extension| extension == "gz");
        let bytes = if gzipped { files::read_gz(&path) } else { files::read(&path) }?;
        Ok((bytes, path))
    };
    let set = |[images_name, labels_name]: [&str; 2]| {
        let (images, images_path) = read(images_name)?;
        let (labels, labels_path) = read(labels_name)?;
        parse_set((&images, &images_path), (&labels, &labels_path))
    };
    Dataset::new(NAME, set(FILES[0])?, set(FILES[1])?)
}

/// Reads the files from the downloader's cache, and downloads missing ones first.
///
/// # Errors
/// If every mirror fails, if a file is not cached and the downloader is offline, or if the cache is not writable.
#[cfg(feature = "download")]
pub fn download(downloader: &Downloader, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Dataset> {
    for file in &REMOTE {
        downloader.fetch(file, progress)?;
    }
    from_dir(downloader.cache())
}

/// Reads from `data_dir` if given, else the embedded dataset (feature `embedded-mnist`), else the cache or the network.
///
/// # Errors
/// Those of [`from_dir`] and [`download()`].
#[cfg(feature = "download")]
pub fn load(data_dir: Option<&Path>, offline: bool, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Dataset> {
    if let Some(directory) = data_dir {
        return from_dir(directory);
    }
    #[cfg(feature = "embedded-mnist")]
    {
        let _ = (offline, progress);
        Ok(embedded())
    }
    #[cfg(not(feature = "embedded-mnist"))]
    download(&Downloader::in_user_cache("mnist")?.offline(offline), progress)
}

/// Builds one set from its two files.
fn parse_set((images, images_path): (&[u8], &Path), (labels, labels_path): (&[u8], &Path)) -> Result<Images> {
    let images = idx::parse_images(images, images_path)?;
    let labels = idx::parse_labels(labels, CLASSES, labels_path)?;
    if images.count != labels.len() {
        return Err(DataError::CountMismatch {
            images_path: images_path.into(),
            images: images.count,
            labels_path: labels_path.into(),
            labels: labels.len(),
        });
    }
    let shape = [images.count, 1, images.rows, images.columns];
    let classes = (0..CLASSES).map(|digit| digit.to_string()).collect();
    Images::new(images.pixels.to_vec(), shape, labels.to_vec(), classes)
}
