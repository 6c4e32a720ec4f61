//! The errors of this crate.

use std::io;
use std::path::PathBuf;

use chainrule_tensor::ShapeError;
use thiserror::Error;

/// An error of an export or an import.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OnnxError {
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
    /// The bytes are no ONNX model, or the model contradicts itself.
    #[error("not an ONNX model, or a damaged one: {0}")]
    Damaged(String),
    /// A part of the model that is not supported.
    #[error("this ONNX model is not supported: {0}")]
    Unsupported(String),
    /// A node that is not supported, or contradicts itself or its inputs.
    #[error("node '{node}' ({operator}): {why}")]
    Node {
        /// The name of the node; where it has none, that of its first output.
        node: String,
        /// The operator, such as `Conv`.
        operator: String,
        /// What is wrong.
        why: String,
    },
    /// An input of a run that the model does not accept.
    #[error("{0}")]
    Input(String),
    /// An operation that has no counterpart in ONNX, or a pass that differs from one batch size to another.
    #[error("cannot export {0}")]
    Export(String),
    /// An input shape that the net refuses.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}
