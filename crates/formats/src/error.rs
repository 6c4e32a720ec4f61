//! Errors of reading and writing files. Each message says which file, what was wrong, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use chainrule_nn::NnError;
use thiserror::Error;

/// This crate's `Result`.
pub type Result<T, E = FormatError> = std::result::Result<T, E>;

/// An error of reading or writing a file of weights or tensors.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The underlying error.
        source: io::Error,
    },
    /// The file cannot be written; a previous file is unchanged.
    #[error("cannot write {}: {source}; a previous file is unchanged", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The underlying error.
        source: io::Error,
    },
    /// The contents contradict themselves or the format.
    #[error("{}: damaged: {why}\n  help: get a fresh copy of the file", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The file is whole, but has something that is not read or cannot be written.
    #[error("{}: {what}\n  help: {help}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What it has.
        what: String,
        /// What to do.
        help: String,
    },
    /// A safetensors file or its weights, or a tensor of another type than asked for.
    #[error(transparent)]
    Weights(#[from] NnError),
}

/// What is wrong with contents, before it is known of which file they are.
#[derive(Debug)]
pub(crate) enum Problem {
    Io(io::Error),
    Damaged(String),
    Refused { what: String, help: String },
}

impl Problem {
    pub(crate) fn refused(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), help: help.into() }
    }

    /// The error for the file at `path`.
    pub(crate) fn of(self, path: &Path) -> FormatError {
        let path = path.into();
        match self {
            Self::Io(source) => FormatError::Read { path, source },
            Self::Damaged(why) => FormatError::Damaged { path, why },
            Self::Refused { what, help } => FormatError::Refused { path, what, help },
        }
    }

    /// The same, said of a part of the file.
    pub(crate) fn within(self, part: &str) -> Self {
        match self {
            Self::Io(error) => Self::Io(error),
            Self::Damaged(why) => Self::Damaged(format!("{part}: {why}")),
            Self::Refused { what, help } => Self::Refused { what: format!("{part}: {what}"), help },
        }
    }
}

impl From<io::Error> for Problem {
    /// What a decoder or the end of a file reports is damage; the rest concerns the disk.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends too early".into()),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Self::Damaged(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

pub(crate) fn damaged<T>(why: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Damaged(why.into()))
}
