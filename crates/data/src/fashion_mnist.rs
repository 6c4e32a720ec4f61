//! Fashion-MNIST: 60 000 training and 10 000 test images of ten kinds of clothing, (1, 28, 28), in the files of MNIST.
//!
//! By H. Xiao, K. Rasul and R. Vollgraf, MIT license. Source: <https://github.com/zalandoresearch/fashion-mnist>.

use std::path::Path;

use crate::dataset::Dataset;
use crate::error::Result;
use crate::idx_dataset;

#[cfg(feature = "download")]
use crate::download::{Downloader, Progress, RemoteFile};

const NAME: &str = "Fashion-MNIST";
const CLASSES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// The published .gz files, from their authors' bucket and repository.
#[cfg(feature = "download")]
const REMOTE: [RemoteFile<'static>; 4] = {
    const MIRRORS: &[&str] = &[
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
    ];
    [
        RemoteFile {
            name: "train-images-idx3-ubyte.gz",
            bytes: 26_421_880,
            sha256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            mirrors: MIRRORS,
        },
        RemoteFile {
            name: "train-labels-idx1-ubyte.gz",
            bytes: 29_515,
            sha256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            mirrors: MIRRORS,
        },
        RemoteFile {
            name: "t10k-images-idx3-ubyte.gz",
            bytes: 4_422_102,
            sha256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            mirrors: MIRRORS,
        },
        RemoteFile {
            name: "t10k-labels-idx1-ubyte.gz",
            bytes: 5_148,
            sha256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            mirrors: MIRRORS,
        },
    ]
};

/// Reads the four IDX files of a directory, in any of the forms that [`mnist::from_dir`](crate::mnist::from_dir) accepts;
/// torchvision's folder is `FashionMNIST/raw`.
///
/// # Errors
/// If a file is missing, damaged or of another kind; the message lists all missing files.
pub fn from_dir(directory: &Path) -> Result<Dataset> {
    idx_dataset::from_dir(NAME, &CLASSES, "FashionMNIST/raw", directory)
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

/// Reads from `data_dir` if given, else from the cache or the network.
///
/// # Errors
/// Those of [`from_dir`] and [`download()`].
#[cfg(feature = "download")]
pub fn load(data_dir: Option<&Path>, offline: bool, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Dataset> {
    match data_dir {
        Some(directory) => from_dir(directory),
        None => download(&Downloader::in_user_cache("fashion-mnist")?.offline(offline), progress),
    }
}
