//! What can go wrong with data from outside: each text says where, what was expected and found, and the cure.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// The `Result` of this crate.
pub type Result<T, E = DataError> = std::result::Result<T, E>;

/// An error of loading a dataset.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}\n  cure: {cure}", path.display())]
    Io {
        /// What was tried, such as "read".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What to do.
        cure: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A dataset is not where it was looked for.
    #[error("{dataset}: {missing} not found in {}\n  cure: {cure}", path.display())]
    Missing {
        /// The dataset, such as "MNIST".
        dataset: &'static str,
        /// The files or directories that are missing.
        missing: String,
        /// The directory or archive.
        path: PathBuf,
        /// What to do.
        cure: String,
    },
    /// An IDX file begins with another magic number.
    #[error(
        "{}: not an IDX file of {kind}\n  expected magic number {expected:#010x}, found {found:#010x}\n  \
         cure: check that the images and labels files have not been exchanged, or take a fresh copy", path.display()
    )]
    WrongMagic {
        /// The file.
        path: PathBuf,
        /// "images" or "labels".
        kind: &'static str,
        /// The magic number of that kind.
        expected: u32,
        /// The first four bytes.
        found: u32,
    },
    /// A file's length is not the one that its header or format asks for.
    #[error(
        "{}: {} ({detail})\n  expected {expected} bytes, found {found}\n  cure: take a fresh copy of the file",
        path.display(), if found < expected { "truncated" } else { "trailing bytes" }
    )]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// What the expectation comes from.
        detail: String,
        /// Bytes expected.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// A header's numbers make no dataset.
    #[error("{}: the header says {header}, {problem}\n  cure: take a fresh copy of the file", path.display())]
    BadHeader {
        /// The file.
        path: PathBuf,
        /// The header's numbers, by name.
        header: String,
        /// What is wrong with them.
        problem: &'static str,
    },
    /// An images file and its labels file are not of one set.
    #[error(
        "the number of images and labels differs\n  {images} images in {}\n  {labels} labels in {}\n  \
         cure: take both files from the same copy of the dataset", images_path.display(), labels_path.display()
    )]
    CountMismatch {
        /// The images file.
        images_path: PathBuf,
        /// Images in it.
        images: usize,
        /// The labels file.
        labels_path: PathBuf,
        /// Labels in it.
        labels: usize,
    },
    /// A label names no class.
    #[error(
        "{}: label {label} of sample {sample} is out of range\n  expected 0 to {}, for {classes} classes\n  \
         cure: check that this is the labels file of this dataset, or take a fresh copy", path.display(), classes - 1
    )]
    LabelOutOfRange {
        /// The file.
        path: PathBuf,
        /// Index of the sample in the file.
        sample: usize,
        /// Its label.
        label: u8,
        /// Number of classes.
        classes: usize,
    },
    /// The parts of a dataset do not fit together.
    #[error("{what}: {problem}\n  cure: {cure}")]
    Inconsistent {
        /// The dataset or the constructor.
        what: String,
        /// The numbers or names that disagree.
        problem: String,
        /// What to do.
        cure: &'static str,
    },
    /// An image file cannot be decoded.
    #[cfg(feature = "images")]
    #[error("cannot decode {}: {source}\n  cure: replace the file, or take it out of the folder", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        source: image::ImageError,
    },
    /// An image file has another size than the first one of its folder.
    #[error(
        "{}: image of {}×{} pixels\n  expected {}×{}, the size of {}\n  cure: bring all images to one size",
        path.display(), found.1, found.0, expected.1, expected.0, first.display()
    )]
    ImageSize {
        /// The file.
        path: PathBuf,
        /// Its (height, width).
        found: (usize, usize),
        /// The first file of the folder.
        first: PathBuf,
        /// Its (height, width).
        expected: (usize, usize),
    },
    /// The data are not on this machine, and nothing may be fetched.
    #[error("{} is not there, and {reason}\n  cure: {cure}", path.display())]
    Offline {
        /// Where the file was looked for.
        path: PathBuf,
        /// Why it is not fetched.
        reason: &'static str,
        /// What to do.
        cure: String,
    },
    /// No mirror gave the file.
    #[error("could not download {file}{}\n  cure: {cure}", Attempts(attempts))]
    Download {
        /// The file's name.
        file: String,
        /// Each mirror's address, and why it failed.
        attempts: Vec<(String, String)>,
        /// What to do.
        cure: String,
    },
    /// The user's cache directory is unknown.
    #[error("the cache directory is unknown: neither XDG_CACHE_HOME nor a home directory is set\n  cure: {cure}")]
    NoCacheDirectory {
        /// What to do.
        cure: String,
    },
}

/// One indented line for each mirror.
struct Attempts<'a>(&'a [(String, String)]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(url, reason)| write!(f, "\n  {url}: {reason}"))
    }
}
