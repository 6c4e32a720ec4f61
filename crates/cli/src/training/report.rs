//! Output of the subcommands that train: tables, JSON lines, downloads.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::program::Labeled;
use crate::failure::Failure;

/// The file of JSON lines, if requested.
pub struct Events {
    file: Option<(File, PathBuf)>,
}

impl Events {
    /// Creates the file. If the run goes on after `completed` epochs of an earlier one, appends to that run's lines.
    pub fn open(path: Option<&Path>, completed: Option<u64>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self { file: None }) };
        let opened = match completed {
            None => File::create(path),
            Some(epochs) => append(path, epochs),
        };
        match opened {
            Ok(file) => Ok(Self { file: Some((file, path.into())) }),
            Err(error) => Err(Failure::Run(format!("--json {}: cannot be written: {error}", path.display()))),
        }
    }

    /// Writes an object as one line.
    pub fn write(&mut self, event: &Value) -> Result<(), Failure> {
        let Some((file, path)) = &mut self.file else { return Ok(()) };
        // In one call, so that a reader sees whole lines.
        file.write_all(format!("{event}\n").as_bytes())
            .map_err(|error| Failure::Run(format!("--json {}: cannot be written: {error}", path.display())))
    }
}

/// Opens a file of JSON lines at its end, after removing what the resumed run writes again: a line that was cut off when the
/// run was killed, and epochs after the completed ones.
fn append(path: &Path, completed: u64) -> io::Result<File> {
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    // A pipe or a terminal has no end to go to.
    if !file.metadata()?.is_file() {
        return Ok(file);
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let stays = |line: &&[u8]| {
        let event = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Value>(line).ok());
        event.is_some_and(|event| event["epoch"].as_u64().is_none_or(|epoch| epoch <= completed))
    };
    let kept: usize = text.split_inclusive(|&byte| byte == b'\n').take_while(stays).map(<[u8]>::len).sum();
    if kept < text.len() {
        println!("note: what {} has after epoch {completed} is removed: it is run again", path.display());
    }
    file.set_len(kept as u64)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

/// The confusion matrix: how many images or pixels of each class were classified as each class. The classes of pixels are
/// colors.
pub struct Confusion {
    labeled: Labeled,
    classes: Vec<String>,
    counts: Vec<Vec<u32>>,
}

impl Confusion {
    /// A matrix of zeros.
    pub fn new(labeled: Labeled, classes: &[String]) -> Self {
        Self { labeled, classes: classes.to_vec(), counts: vec![vec![0; classes.len()]; classes.len()] }
    }

    /// The counts: rows for the true classes, columns for the predicted ones.
    pub fn counts(&self) -> &[Vec<u32>] {
        &self.counts
    }

    /// Counts a batch.
    pub fn add(&mut self, labels: &[i32], predicted: &[i32]) {
        for (&label, &class) in labels.iter().zip(predicted) {
            self.counts[label as usize][class as usize] += 1;
        }
    }

    /// The share of what was classified correctly.
    pub fn accuracy(&self) -> f64 {
        let right: u32 = (0..self.classes.len()).map(|c| self.counts[c][c]).sum();
        f64::from(right) / f64::from(self.counts.iter().flatten().sum::<u32>().max(1))
    }

    /// The same of each class; 0 for a class of which there is nothing.
    pub fn per_class(&self) -> Vec<f64> {
        let share = |c: usize| f64::from(self.counts[c][c]) / f64::from(self.counts[c].iter().sum::<u32>().max(1));
        (0..self.classes.len()).map(share).collect()
    }

    /// Prints the accuracy of each class, and the matrix or, for pixels, how frequent each color is.
    pub fn print(&self) {
        if self.labeled == Labeled::Pixels {
            return self.print_colors();
        }
        let width = self.classes.iter().map(|c| c.chars().count()).max().unwrap_or(0).max(5);
        println!("\naccuracy by class");
        for (class, share) in self.classes.iter().zip(self.per_class()) {
            println!("  {class:<width$}  {:6.2} %", 100.0 * share);
        }
        println!("\nconfusion matrix (rows: true class, columns: predicted class)");
        let heads: Vec<String> = self.classes.iter().map(|class| format!("{class:>6.6}")).collect();
        println!("  {:<width$} {}", "", heads.join(""));
        for (class, row) in self.classes.iter().zip(&self.counts) {
            let cells: Vec<String> = row.iter().map(|n| format!("{n:>6}")).collect();
            println!("  {class:<width$} {}", cells.join(""));
        }
    }

    fn print_colors(&self) {
        let all = f64::from(self.counts.iter().flatten().sum::<u32>().max(1));
        println!("\naccuracy by color, and the share of the pixels that have it");
        for ((color, share), row) in self.classes.iter().zip(self.per_class()).zip(&self.counts) {
            let of_all = f64::from(row.iter().sum::<u32>()) / all;
            println!("  {color}  {:6.2} %  {:6.2} %", 100.0 * share, 100.0 * of_all);
        }
    }
}

/// Shows the progress of a download, one line per file.
pub fn download(progress: chainrule::data::Progress<'_>) {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    eprint!("\r{}: {:.1} of {:.1} MB", progress.file, megabytes(progress.done), megabytes(progress.total));
    if progress.done == progress.total {
        eprintln!();
    }
}
