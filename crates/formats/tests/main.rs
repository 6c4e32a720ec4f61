//! Files of PyTorch and NumPy, and damaged and hostile ones, in one program: it links once.

mod bombs;
mod builder;
mod exchange;
mod hostile;
mod kinds;
mod mutations;
#[path = "../../data/tests/mutator/mod.rs"]
mod mutator;
mod numpy;
#[path = "../../data/tests/peak/mod.rs"]
mod peak;
mod pytorch;
mod torchvision;

use std::path::{Path, PathBuf};

use chainrule_formats::{FormatError, read_weights};

/// A file that `files/make.py` made.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

/// An error's text, without the file's folder.
fn text(error: &FormatError, path: &Path) -> String {
    error.to_string().replace(&path.parent().unwrap().display().to_string(), "DIR")
}

/// The text of the error of reading the weights of a file.
fn refusal(path: &Path) -> String {
    text(&read_weights(path).unwrap_err(), path)
}
