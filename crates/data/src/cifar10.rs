//! CIFAR-10: 50 000 training and 10 000 test images of ten classes, (3, 32, 32).
//!
//! By A. Krizhevsky, V. Nair and G. Hinton. The binary version has records of one label byte and
//! 3072 pixels: the red, green and blue planes, each row-major. Source: <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::path::Path;

use crate::cifar::Cifar;
use crate::dataset::Dataset;
use crate::error::Result;

#[cfg(feature = "download")]
use crate::download::{Downloader, Progress, RemoteFile};

const CIFAR: Cifar = Cifar {
    name: "CIFAR-10",
    train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    test: "test_batch.bin",
    records: 10_000,
    label_bytes: 1,
    label: 0,
    names_file: "batches.meta.txt",
    classes: &["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    folder: "cifar-10-batches-bin",
    archive: "cifar-10-binary",
    python: ["cifar-10-batches-py", "cifar-10-python"],
};

/// The published archive, from its authors and from the `MindSpore` tutorials' copy; its published md5 is
/// c32a1d4ab5d03f1284b67883e8d87530.
#[cfg(feature = "download")]
const REMOTE: RemoteFile<'static> = RemoteFile {
    name: "cifar-10-binary.tar.gz",
    bytes: 170_052_171,
    sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    mirrors: &[
        "https://www.cs.toronto.edu/~kriz",
        "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets",
    ],
};

/// Reads CIFAR-10 from `path`: the archive, plain or gzipped, a directory that contains the archive or the batch files
/// (directly or in `cifar-10-batches-bin`), or, with the feature `images`, a folder of images.
///
/// # Errors
/// If `path` has none of these, or a file is damaged.
pub fn from_path(path: &Path) -> Result<Dataset> {
    #[cfg(feature = "images")]
    {
        if CIFAR.find(path).is_none() && crate::image_folder::is_one(path) {
            return crate::image_folder::load(CIFAR.name, path);
        }
        CIFAR.load(path, &["train/<class>/*.{png,jpg}"])
    }
    #[cfg(not(feature = "images"))]
    CIFAR.load(path, &[])
}

/// Reads the six batch files of a directory, and the class names from `batches.meta.txt` if it exists.
///
/// # Errors
/// If a batch is missing or damaged; the message lists all missing files.
pub fn from_dir(directory: &Path) -> Result<Dataset> {
    CIFAR.load_dir(directory)
}

/// Reads the published archive, plain (`.tar`) or gzipped; the name of its top folder does not matter.
///
/// # Errors
/// If it is not a tar archive, or a batch in it is missing, damaged or longer than the published one.
pub fn from_archive(path: &Path) -> Result<Dataset> {
    CIFAR.load_archive(path)
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
