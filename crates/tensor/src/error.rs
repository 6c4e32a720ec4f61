//! This crate's errors.

use thiserror::Error;

/// A shape mismatch: the op, the operands with their named dimensions, and the violated rule.
///
/// Ops panic with this text; [`crate::shape_rules`] returns it, for programs that build a net from user input.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ShapeError(String);

impl ShapeError {
    /// An error with the given text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// An error of this crate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TensorError {
    /// A shape mismatch.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The device name is not valid.
    #[error("unknown device '{0}'; use 'auto', 'cpu' or 'cuda:N', where N is the index of a GPU, from 0")]
    UnknownDevice(String),
    /// The device cannot be used.
    #[error("device '{device}' cannot be used: {why}")]
    DeviceUnavailable {
        /// The requested device.
        device: String,
        /// What is missing, and what to do.
        why: String,
    },
    /// The thread pool is already running with a different number of threads.
    #[error("the number of threads is already set to {0}; set it before the first tensor is computed")]
    ThreadsAlreadySet(usize),
}

/// Unwraps the result of a shape rule, or panics with its text at the caller's location, which a closure would not do.
pub trait OrPanic<T> {
    /// The value.
    ///
    /// # Panics
    /// If there is an error.
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
