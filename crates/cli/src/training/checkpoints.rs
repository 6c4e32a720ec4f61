//! The files in which a run is saved: the last state, the best epoch, the last few epochs.

use std::path::{Path, PathBuf};

use chainrule::prelude::*;

use super::options::FileOptions;
use crate::failure::Failure;

/// The checkpoints of a run. Each is written whole or not at all.
pub struct Checkpoints {
    last: Option<PathBuf>,
    best: Option<PathBuf>,
    keep: Option<u32>,
    /// The step after which the run was last saved.
    step: Option<u64>,
}

impl Checkpoints {
    /// Those of a process that saves nothing, since another one does.
    pub fn none() -> Self {
        Self { last: None, best: None, keep: None, step: None }
    }

    /// Checks that the files can be written, before anything is computed.
    pub fn new(files: &FileOptions) -> Result<Self, Failure> {
        let last = files.save();
        for path in [&last, &files.save_best].into_iter().flatten() {
            Checkpoint::check_target(path)?;
        }
        Ok(Self { last, best: files.save_best.clone(), keep: files.keep, step: None })
    }

    /// The file of the last state.
    pub fn last(&self) -> Option<&Path> {
        self.last.as_deref()
    }

    /// The file of the best epoch.
    pub fn best(&self) -> Option<&Path> {
        self.best.as_deref()
    }

    /// Saves the state after a step by `write`.
    pub fn save(&mut self, step: u64, write: impl Fn(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
        let Some(path) = &self.last else { return Ok(()) };
        write(path)?;
        self.step = Some(step);
        Ok(())
    }

    /// Saves the state after an epoch, counted from 1. The last state goes last: a run that is killed in between runs the epoch again and
    /// writes the other files again.
    pub fn save_epoch(
        &mut self,
        epoch: u64,
        step: u64,
        is_best: bool,
        write: impl Fn(&Path) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let Some(path) = self.best.as_ref().filter(|_| is_best) {
            write(path)?;
        }
        if let (Some(path), Some(keep)) = (&self.last, self.keep) {
            write(&of_epoch(path, epoch))?;
            if let Some(old) = epoch.checked_sub(keep.into()).filter(|&old| old > 0) {
                // It may have been removed by hand.
                let _ = std::fs::remove_file(of_epoch(path, old));
            }
        }
        self.save(step, write)
    }

    /// What there is after a failure.
    pub fn left(&self) -> String {
        match (&self.last, self.step) {
            (Some(path), Some(step)) => format!("{} has the state after step {step}", path.display()),
            (Some(path), None) => format!("this run has not written {}", path.display()),
            (None, _) => "nothing was saved".to_owned(),
        }
    }
}

/// The file of an epoch: digits.epoch-0003.safetensors beside digits.safetensors.
fn of_epoch(path: &Path, epoch: u64) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".epoch-{epoch:04}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}
