//! The errors of this crate.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// What can go wrong with saved states.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NnError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written; what was there before is still there.
    #[error("{}: cannot be written: {source}; what was there before is untouched", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no saved state, or only a part of one.
    #[error("{}: is no saved state, or a damaged one: {why}; use another file, or train anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// The saved state is that of another net.
    #[error("{}: was saved by another net\n{differences}\nbuild the net as it was when it was saved", path.display())]
    OtherNet {
        /// The file.
        path: PathBuf,
        /// What is missing, what is left over and whose shape differs, a line each.
        differences: String,
    },
    /// The saved state is that of another optimizer.
    #[error("{}: was saved with the optimizer '{saved}', this run uses '{used}'; use the same, or load the weights alone", path.display())]
    OtherOptimizer {
        /// The file.
        path: PathBuf,
        /// The optimizer that saved it.
        saved: String,
        /// The optimizer that is to go on.
        used: String,
    },
}
