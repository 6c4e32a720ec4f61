//! The errors of this crate.

use thiserror::Error;

/// Shapes that do not fit together: the op, the operands with their named dimensions, and the rule that broke.
///
/// Ops panic with this text; [`crate::shape_rules`] returns it, for programs that build a net from what a user gave.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ShapeError(String);

impl ShapeError {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What can go wrong outside of a program's own arithmetic.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TensorError {
    /// Shapes do not fit together.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A device name that nobody knows.
    #[error("device '{0}' is not known; use 'auto', 'cpu' or 'cuda:N', N being the number of a GPU from 0")]
    UnknownDevice(String),
    /// A device that cannot be used here.
    #[error("device '{device}' cannot be used: {why}")]
    DeviceUnavailable {
        /// The device asked for.
        device: String,
        /// What is missing, and what to do.
        why: String,
    },
    /// The thread pool was set up before, with another number of threads.
    #[error("the number of threads is already set to {0}; set it before the first tensor is computed")]
    ThreadsAlreadySet(usize),
}

/// Unwraps, or panics with the error's text alone at the caller's place.
pub(crate) trait OrPanic<T> {
    #[track_caller]
    fn or_panic(self) -> T;
}

impl<T> OrPanic<T> for Result<T, ShapeError> {
    #[track_caller]
    fn or_panic(self) -> T {
        match self {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }
}
