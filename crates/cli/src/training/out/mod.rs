//! `--out DIR`: what a run leaves in a folder. Records are written while it trains ([`recorder`], [`files`]); the report, plots,
//! pictures and TensorBoard files are made from them ([`render`]), at the end of the run or by `chainrule report DIR`.

mod answers;
mod colorized;
mod config;
mod examples;
mod files;
mod findings;
mod inside;
mod outputs;
mod page;
#[cfg(feature = "plots")]
mod plots;
mod probe;
mod recorder;
mod records;
pub mod render;
#[cfg(feature = "plots")]
mod sheets;
#[cfg(feature = "plots")]
mod tensorboard;
mod tiles;

use std::path::Path;

pub use answers::Answers;
pub use config::Run;
pub use files::Lines;
pub use recorder::Recorder;
pub use records::{Config, Outcome};

use crate::failure::Failure;

/// The checkpoint in the folder, unless `--save` names another file.
pub const CHECKPOINT: &str = "checkpoint.safetensors";

/// Checks that a run may write into this folder, and creates it.
///
/// # Errors
/// If the folder has the checkpoint of another run, or cannot be created.
pub fn prepare(folder: &Path, resumes: bool) -> Result<(), Failure> {
    let saved = folder.join(CHECKPOINT);
    if !resumes && saved.exists() {
        return Err(Failure::Usage(format!(
            "--out {}: a run was saved there; give another directory, or go on with that run by --resume {}",
            folder.display(),
            saved.display()
        )));
    }
    files::create_folder(folder)
}
