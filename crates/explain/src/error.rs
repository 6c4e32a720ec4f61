//! Errors of asking for an explanation.

use crate::number::{index_text, shape_text};

/// Why there is no explanation of what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// No variable has this name.
    #[error("explain: the loss does not depend on '{name}'\n  help: these have a gradient: {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// The variables that have a gradient, with their shapes.
        known: Vec<String>,
    },
    /// The variable is a constant or frozen.
    #[error("explain: '{name}' has no gradient, since it is a constant or frozen\n  help: make it a parameter; these have a gradient: {}", known.join(", "))]
    NoGradient {
        /// The name.
        name: String,
        /// The variables that have a gradient, with their shapes.
        known: Vec<String>,
    },
    /// The index is not one of the variable.
    #[error(
        "explain: {name}{} does not exist\n  {name} has the shape {}\n  rule: {}",
        index_text(index),
        shape_text(shape),
        rule(shape)
    )]
    Index {
        /// The name of the variable.
        name: String,
        /// The index.
        index: Vec<usize>,
        /// The shape of the variable.
        shape: Vec<usize>,
    },
    /// The text of an element is not `name[i,j,…]`.
    #[error(
        "explain: '{text}' is not an element\n  rule: a name and an index, such as conv1.weight[0,0,1,1]; for a scalar the name alone"
    )]
    Syntax {
        /// The text.
        text: String,
    },
    /// A file cannot be written.
    #[error("explain: cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: std::path::PathBuf,
        /// The reason.
        source: std::io::Error,
    },
}

fn rule(shape: &[usize]) -> String {
    match shape {
        [] => "a scalar has no index".into(),
        _ => format!("{} numbers, each below the length of its axis", shape.len()),
    }
}
