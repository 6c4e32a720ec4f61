//! Errors of loading data. Each message says where, what was expected and found, and what to do.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use thiserror::Error;

/// This crate's `Result`.
pub type Result<T, E = DataError> = std::result::Result<T, E>;

/// An error while loading a dataset.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// An I/O error.
    #[error("cannot {action} {}: {source}\n  help: {help}", path.display())]
    Io {
        /// The operation, such as "read".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What to do.
        help: &'static str,
        /// The underlying error.
        source: io::Error,
    },
    /// Files of a dataset were not found.
    #[error("{dataset}: {missing} not found in {}\n  help: {help}", path.display())]
    Missing {
        /// The dataset, such as "MNIST".
        dataset: &'static str,
        /// The files or directories that are missing.
        missing: String,
        /// The directory or archive.
        path: PathBuf,
        /// What to do.
        help: String,
    },
    /// An IDX file starts with a different magic number.
    #[error(
        "{}: not an IDX file of {kind}\n  expected magic number {expected:#010x}, found {found:#010x}\n  \
         help: check that the images and labels files are not swapped, or get a fresh copy", path.display()
    )]
    WrongMagic {
        /// The file.
        path: PathBuf,
        /// "images" or "labels".
        kind: &'static str,
        /// The magic number of this kind.
        expected: u32,
        /// The first four bytes.
        found: u32,
    },
    /// A file's length does not match its header or format.
    #[error(
        "{}: {} ({detail})\n  expected {expected} bytes, found {}\n  help: get a fresh copy of the file",
        path.display(),
        if found < expected { "truncated" } else { "trailing bytes" },
        if found < expected { found.to_string() } else { "more".into() }
    )]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// Where the expected length comes from.
        detail: String,
        /// Bytes expected.
        expected: u64,
        /// Bytes found. If they are more than expected, not all of them were read.
        found: u64,
    },
    /// A file, or a file in an archive, is longer than its format allows, so it was not read.
    #[error("{}: {found} bytes, but {of} has at most {limit}\n  help: get a fresh copy of the file", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// What has this limit, such as "a file of CIFAR-10".
        of: String,
        /// Bytes found.
        found: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A file has contents of another kind, such as a web page.
    #[error("{}: this is {what}\n  help: {help}", path.display())]
    WrongContent {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// A header's dimensions are invalid.
    #[error("{}: the header says {header}, {problem}\n  help: get a fresh copy of the file", path.display())]
    BadHeader {
        /// The file.
        path: PathBuf,
        /// The header's dimensions, by name.
        header: String,
        /// What is wrong with them.
        problem: &'static str,
    },
    /// An images file and its labels file have different counts.
    #[error(
        "the number of images and labels differs\n  {images} images in {}\n  {labels} labels in {}\n  \
         help: use both files from the same copy of the dataset", images_path.display(), labels_path.display()
    )]
    CountMismatch {
        /// The images file.
        images_path: PathBuf,
        /// The number of images.
        images: usize,
        /// The labels file.
        labels_path: PathBuf,
        /// The number of labels.
        labels: usize,
    },
    /// A label is not a valid class.
    #[error(
        "{}: label {label} of sample {sample} is out of range\n  expected {} to {}, for {} classes\n  \
         help: check that this is the labels file of this dataset, or get a fresh copy",
        path.display(), expected.start(), expected.end(), expected.end() - expected.start() + 1
    )]
    LabelOutOfRange {
        /// The file.
        path: PathBuf,
        /// The index of the sample in the file.
        sample: usize,
        /// The label.
        label: i32,
        /// The labels of the dataset.
        expected: RangeInclusive<i32>,
    },
    /// The parts of a dataset do not match.
    #[error("{what}: {problem}\n  help: {help}")]
    Inconsistent {
        /// The dataset or the constructor.
        what: String,
        /// The mismatch.
        problem: String,
        /// What to do.
        help: &'static str,
    },
    /// An image file cannot be decoded.
    #[cfg(feature = "images")]
    #[error("cannot decode {}: {source}\n  help: {help}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What to do.
        help: &'static str,
        /// The decoder's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An image's size differs from that of the first image in the folder.
    #[error(
        "{}: image of {}×{} pixels\n  expected {}×{}, the size of {}\n  help: resize all images to the same size",
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
    /// A file is not cached, and downloads are disabled.
    #[error("{} not found, and {reason}\n  help: {help}", path.display())]
    Offline {
        /// The expected path of the file.
        path: PathBuf,
        /// Why it is not downloaded.
        reason: &'static str,
        /// What to do.
        help: String,
    },
    /// Every mirror failed.
    #[error("could not download {file}{}\n  help: {help}", Attempts(attempts))]
    Download {
        /// The file's name.
        file: String,
        /// Each mirror's URL, and why it failed.
        attempts: Vec<(String, String)>,
        /// What to do.
        help: String,
    },
    /// The user's cache directory is unknown.
    #[error("the cache directory is unknown: neither XDG_CACHE_HOME nor a home directory is set\n  help: {help}")]
    NoCacheDirectory {
        /// What to do.
        help: String,
    },
}

/// Formats one indented line per mirror.
struct Attempts<'a>(&'a [(String, String)]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(url, reason)| write!(f, "\n  {url}: {reason}"))
    }
}
