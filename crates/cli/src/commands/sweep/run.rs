//! One run of a sweep: a child process with a folder.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::failure::{Failure, INTERRUPTED};
use crate::training::interrupt;

/// Flags with which a run may go on that was begun without them.
const OF_THE_MACHINE: [&str; 3] = ["--threads=", "--workers=", "--memory="];

/// A run: its command line after `chainrule`, and the folder of its files.
pub struct Run {
    command: Vec<String>,
    folder: PathBuf,
}

/// How a run ended.
pub enum End {
    Complete(Record),
    Failed(String),
    Interrupted,
}

/// What a complete run reported: its epochs as objects.
#[derive(Clone, Debug)]
pub struct Record {
    epochs: Vec<Value>,
}

impl Record {
    /// A number that is reported for each epoch, such as `test_loss`, by epoch; without those that are not finite.
    #[cfg(feature = "plots")]
    pub fn by_epoch(&self, key: &str) -> Vec<(u64, f64)> {
        self.epochs.iter().filter_map(|epoch| epoch["epoch"].as_u64().zip(epoch[key].as_f64())).collect()
    }

    /// The number of the last epoch.
    pub fn last(&self, key: &str) -> Option<f64> {
        self.epochs.last()?[key].as_f64()
    }

    /// Seconds of training, without evaluation.
    pub fn seconds(&self) -> f64 {
        self.epochs.iter().filter_map(|epoch| epoch["seconds"].as_f64()).sum()
    }
}

/// Creates the folder of a sweep and keeps other sweeps out of it, which would write the same files, until the file is closed.
///
/// # Errors
/// If another sweep is running there, or the folder cannot be written.
pub fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join(".lock");
    let failed = |why: std::io::Error| Failure::Run(format!("cannot write {}: {why}", path.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    let file = File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Failure::Run(format!(
            "{} has a sweep that is running; wait for it to end, or give another folder by --out",
            folder.display()
        ))),
        // Some file systems of networks have no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

impl Run {
    /// The run with its folder, which is created, or is checked to be that of the same command line.
    ///
    /// # Errors
    /// If it has a run with other flags, or cannot be written.
    pub fn new(command: Vec<String>, folder: PathBuf) -> Result<Self, Failure> {
        let failed =
            |path: &Path, why: &std::io::Error| Failure::Run(format!("cannot write {}: {why}", path.display()));
        fs::create_dir_all(&folder).map_err(|why| failed(&folder, &why))?;
        let same = |flag: &&String| !OF_THE_MACHINE.iter().any(|other| flag.starts_with(other));
        let own: Vec<&str> = command.iter().filter(same).map(String::as_str).collect();
        let (path, own) = (folder.join("command.txt"), format!("chainrule {}", own.join(" ")));
        match fs::read_to_string(&path) {
            Ok(text) if text.trim_end() == own => {}
            Ok(text) => {
                return Err(Failure::Usage(format!(
                    "{} has a run with other flags\n  there: {}\n  here:  {own}\n  \
                     give the same flags as before, or another folder by --out",
                    folder.display(),
                    text.trim_end()
                )));
            }
            Err(_) => fs::write(&path, own + "\n").map_err(|why| failed(&path, &why))?,
        }
        Ok(Self { command, folder })
    }

    /// What the run reported, if it is complete.
    pub fn complete(&self) -> Option<Record> {
        let events = self.events();
        let complete = events.last().is_some_and(|event| event["event"] == "result");
        complete.then(|| Record { epochs: events.into_iter().filter(|event| event["event"] == "epoch").collect() })
    }

    /// Runs it to its end, from its checkpoint if there is one.
    pub fn execute(&self) -> Result<End, Failure> {
        let status = self.wait()?;
        if let Some(record) = self.complete().filter(|_| status.success()) {
            return Ok(End::Complete(record));
        }
        if interrupt::requested() || status.code() == Some(INTERRUPTED.into()) {
            return Ok(End::Interrupted);
        }
        let log = fs::read_to_string(self.path("log.txt")).unwrap_or_default();
        let error = log.rfind("error: ").map(|start| log[start..].split("\n\n").next().unwrap_or_default().trim_end());
        Ok(End::Failed(match error {
            Some(error) => error.replace('\n', "\n  "),
            None => format!("it ended with {status}; its output is in {}", self.path("log.txt").display()),
        }))
    }

    /// Starts the child and waits for it. A Ctrl-C in a terminal reaches the child too, which saves and ends.
    fn wait(&self) -> Result<ExitStatus, Failure> {
        const POLL: Duration = Duration::from_millis(50);
        let log = File::create(self.path("log.txt"))?;
        let checkpoint = self.path("checkpoint.safetensors");
        let mut command = Command::new(std::env::current_exe()?);
        command.args(&self.command).arg("--json").arg(self.path("events.jsonl")).arg("--save").arg(&checkpoint);
        if checkpoint.exists() {
            command.arg("--resume").arg(&checkpoint);
        }
        let mut child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}").expect("the template is a valid one");
        let bar = ProgressBar::new_spinner().with_style(style);
        for poll in 0_u32.. {
            if let Some(status) = child.try_wait()? {
                bar.finish_and_clear();
                return Ok(status);
            }
            bar.tick();
            if poll % 20 == 0 {
                bar.set_message(self.progress());
            }
            std::thread::sleep(POLL);
        }
        unreachable!("the loop ends with the child")
    }

    /// The last epoch, in a line.
    fn progress(&self) -> String {
        let epoch = self.events().into_iter().rfind(|event| event["event"] == "epoch");
        let Some(epoch) = epoch else { return String::new() };
        let [number, accuracy] = [&epoch["epoch"], &epoch["test_accuracy"]].map(Value::as_f64);
        let percent = 100.0 * accuracy.unwrap_or(f64::NAN);
        format!("epoch {} is done: test accuracy {percent:.2} %", number.unwrap_or(f64::NAN))
    }

    fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("events.jsonl")).unwrap_or_default();
        // The last line may have been cut off by a kill.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }
}
