//! MNIST: 60 000 training and 10 000 test images of handwritten digits, (1, 28, 28).
//!
//! By Y. `LeCun`, C. Cortes and C. J. C. Burges, CC BY-SA 3.0.

use std::path::Path;

use crate::dataset::Dataset;
use crate::error::Result;
use crate::idx_dataset;

#[cfg(feature = "download")]
use crate::download::{Downloader, Progress, RemoteFile};
#[cfg(feature = "embedded-mnist")]
use crate::idx;

const NAME: &str = "MNIST";
const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

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
    let set = |images: &[u8], labels: &[u8], names: [&str; 2]| {
        let paths = names.map(|name| Path::new("(embedded)").join(name));
        let (images, labels) = (idx::read_images(images, &paths[0])?, idx::read_labels(labels, &paths[1])?);
        Ok(idx_dataset::Set { images, labels, paths })
    };
    let [train_names, test_names] = idx_dataset::FILES;
    set(&raw.train_images, &raw.train_labels, train_names)
        .and_then(|train| Ok((train, set(&raw.test_images, &raw.test_labels, test_names)?)))
        .and_then(|(train, test)| idx_dataset::dataset(NAME, &DIGITS, train, test))
        .unwrap_or_else(|error| unreachable!("{error}"))
}

/// Reads the four IDX files of a directory, each of them raw or gzipped: the contents decide, not the name.
///
/// Names in use elsewhere are understood: `train-images.idx3-ubyte`, `test` for `t10k`, a prefix such as `emnist-letters-`,
/// torchvision's `MNIST/raw`, and a folder with the name of its file. Labels may be integers (QMNIST; its first column is the
/// class). If both sets have others than 0 to 9, the classes are found from the labels, and a note of the dataset names them.
/// EMNIST stores its images transposed; they are used as stored.
///
/// # Errors
/// If a file is missing, damaged or of another kind; the message lists all missing files.
pub fn from_dir(directory: &Path) -> Result<Dataset> {
    idx_dataset::from_dir(NAME, &DIGITS, "MNIST/raw", directory)
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
