//! What can go wrong between processes.

/// A failure of a collective operation, or of the engine that carries it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DistributedError {
    /// The engine cannot be used.
    #[error("{0}")]
    Unavailable(String),
    /// Other processes did not take part in an operation in time.
    #[error("{0}")]
    NoAnswer(String),
    /// The engine reported an error.
    #[error("{0}")]
    Engine(String),
}
