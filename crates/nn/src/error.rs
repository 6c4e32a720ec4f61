//! This crate's errors.

use std::io;
use std::path::PathBuf;

use chainrule_tensor::Shape;
use thiserror::Error;

/// An error of this crate: of a checkpoint, or of a path in a net.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NnError {
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
    /// The file is not a checkpoint, or it is damaged.
    #[error("{}: not a checkpoint, or a damaged one: {why}; use another file, or train from scratch", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A stored tensor has no exact counterpart of the type that was asked for.
    #[error("cannot convert a stored tensor: {why}; convert it in the program that made it, or ask for another type")]
    Conversion {
        /// What it has.
        why: String,
    },
    /// The checkpoint does not match the net.
    #[error("{}: does not match the net\n{differences}\nuse the same net as when the file was saved, or load what fits with LoadOptions::strict(false)", path.display())]
    OtherNet {
        /// The file.
        path: PathBuf,
        /// Missing, unexpected and differing tensors, one per line.
        differences: String,
    },
    /// The checkpoint was saved with a different optimizer.
    #[error("{}: saved with the optimizer '{saved}', but this run uses '{used}'; use the same, or load only the weights", path.display())]
    OtherOptimizer {
        /// The file.
        path: PathBuf,
        /// The optimizer that saved it.
        saved: String,
        /// The optimizer of this run.
        used: String,
    },
    /// The optimizer's state in the checkpoint does not fit this run's optimizer.
    #[error("{}: the optimizer's state does not fit\n{differences}\nbuild the optimizer as when the file was saved, or load only the weights", path.display())]
    OtherOptimizerState {
        /// The file.
        path: PathBuf,
        /// Missing, unexpected and differing state and settings, one per line.
        differences: String,
    },
    /// The file has no average of the weights.
    #[error("{}: it has no average of the weights; use the weights, or train with an Ema", path.display())]
    NoAverage {
        /// The file.
        path: PathBuf,
    },
    /// The average of the weights in the checkpoint does not fit this run's.
    #[error("{}: the average of the weights does not fit\n{differences}\nmake the Ema as when the file was saved", path.display())]
    OtherAverage {
        /// The file.
        path: PathBuf,
        /// Differing settings and missing, unexpected and differing tensors, one per line.
        differences: String,
    },
    /// A forward pass has no operation with this path.
    #[error("there is no operation '{path}' in the forward pass\n  paths: {}\n  rule: operations on frozen parameters are recorded if the input is a parameter", known.join(", "))]
    NoOperation {
        /// The path.
        path: String,
        /// The paths that there are, in their order.
        known: Vec<String>,
    },
    /// The output of an operation is not a batch of feature maps.
    #[error("the output of '{path}' has shape {shape}\n  rule: feature maps are (N,C,H,W), of images (N,C,H,W)")]
    NoFeatureMaps {
        /// The path of the operation.
        path: String,
        /// The shape of its output.
        shape: Shape,
    },
}
