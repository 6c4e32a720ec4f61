//! The files of records: written line by line or atomically, read back, and continued by a resumed run.

use std::fs::{self, File};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use chainrule::nn::atomic_file;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::records::{Config, Examples, Metric, Outcome, Predictions, Probe};
use crate::failure::Failure;

pub const CONFIG: &str = "config.json";
pub const METRICS: &str = "metrics.jsonl";
pub const PROBES: &str = "probes.jsonl";
pub const PREDICTIONS: &str = "predictions.jsonl";
pub const RESULT: &str = "result.json";
pub const EXAMPLES: &str = "examples/examples.json";

fn cannot_write(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::Run(format!("--out: cannot write {}: {why}", path.display()))
}

/// Creates a folder, if it does not exist.
pub fn create_folder(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|why| cannot_write(folder, &why))
}

/// Writes a file atomically.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    atomic_file::write(path, bytes).map_err(|why| cannot_write(path, &why))
}

/// Writes a record as a file.
pub fn write_json<T: Serialize>(path: &Path, record: &T) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(record)?;
    text.push('\n');
    write(path, text.as_bytes())
}

/// Removes a file, if there is one.
pub fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != ErrorKind::NotFound => Err(cannot_write(path, &why)),
        _ => Ok(()),
    }
}

/// A file of records, one a line.
pub struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// Opens the file and removes all lines from the first for which `stays` is false, or that cannot be read: a killed run
    /// leaves the start of a line. Returns the records that stay.
    pub fn open<T: DeserializeOwned>(path: PathBuf, stays: impl Fn(&T) -> bool) -> Result<(Self, Vec<T>), Failure> {
        let failed = |why| cannot_write(&path, &why);
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let mut records = Vec::new();
        // A device has nothing to continue.
        if file.metadata().map_err(failed)?.is_file() {
            let kept;
            (records, kept) = whole_lines(&fs::read(&path).map_err(failed)?, stays);
            file.set_len(kept).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        }
        Ok((Self { path, file }, records))
    }

    /// Appends a record.
    pub fn write<T: Serialize>(&mut self, record: &T) -> Result<(), Failure> {
        let mut line = serde_json::to_string(record)?;
        line.push('\n');
        // In one call, so that a reader sees whole lines.
        self.file.write_all(line.as_bytes()).map_err(|why| cannot_write(&self.path, &why))
    }
}

/// The records of the first lines, and the length of these lines.
fn whole_lines<T: DeserializeOwned>(text: &[u8], stays: impl Fn(&T) -> bool) -> (Vec<T>, u64) {
    let (mut records, mut kept) = (Vec::new(), 0);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let record = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok());
        let Some(record) = record.filter(|record| stays(record)) else { break };
        records.push(record);
        kept += line.len() as u64;
    }
    (records, kept)
}

/// All records of a run's folder.
pub struct Records {
    pub config: Config,
    pub metrics: Vec<Metric>,
    pub probes: Vec<Probe>,
    pub predictions: Vec<Predictions>,
    /// None if the run has not ended.
    pub outcome: Option<Outcome>,
    /// None before the first evaluation.
    pub examples: Option<Examples>,
}

impl Records {
    /// Reads a folder. A last line that is cut off is left out, since a run may be writing it.
    ///
    /// # Errors
    /// If it is no folder of a run, or a file is damaged.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let config = read_json(&folder.join(CONFIG))?.ok_or_else(|| {
            Failure::Run(format!("{} has no {CONFIG}; give the directory that a run had as --out", folder.display()))
        })?;
        Ok(Self {
            config,
            metrics: read_lines(&folder.join(METRICS))?,
            probes: read_lines(&folder.join(PROBES))?,
            predictions: read_lines(&folder.join(PREDICTIONS))?,
            outcome: read_json(&folder.join(RESULT))?,
            examples: read_json(&folder.join(EXAMPLES))?,
        })
    }
}

/// The contents of a file; None if it does not exist.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
        Err(why) => Err(Failure::Run(format!("cannot read {}: {why}", path.display()))),
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Failure> {
    let Some(text) = read(path)? else { return Ok(None) };
    let record = serde_json::from_slice(&text);
    record.map(Some).map_err(|why| Failure::Run(format!("{} is damaged: {why}", path.display())))
}

fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Failure> {
    let Some(text) = read(path)? else { return Ok(Vec::new()) };
    let (records, kept) = whole_lines(&text, |_| true);
    let rest = &text[kept as usize..];
    if rest.contains(&b'\n') {
        let line = records.len() + 1;
        return Err(Failure::Run(format!(
            "{} is damaged at line {line}; remove the lines from there on to use those before",
            path.display()
        )));
    }
    Ok(records)
}
