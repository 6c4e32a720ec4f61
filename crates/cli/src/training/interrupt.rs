//! Ctrl-C: the first asks the run to end after its step, the second ends the program at once.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Failure, INTERRUPTED};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Starts to watch for Ctrl-C, and on Unix for SIGTERM and SIGHUP, which end programs of a batch system or a closed terminal.
pub fn watch() -> Result<(), Failure> {
    ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
        eprintln!("\ninterrupted: ending after this step; once more ends at once");
    })?;
    Ok(())
}

/// Whether the run should end.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// The command line of this run with `--resume`, to be pasted into a shell.
pub fn command_to_resume(saved: &Path) -> String {
    let mut arguments = Vec::new();
    let mut given = std::env::args();
    while let Some(argument) = given.next() {
        // The file that this run itself was resumed from is older.
        if argument == "--resume" {
            given.next();
        } else if !argument.starts_with("--resume=") {
            arguments.push(argument);
        }
    }
    arguments.extend(["--resume".to_owned(), saved.display().to_string()]);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    let quoted = |argument: &String| {
        if !argument.is_empty() && argument.chars().all(plain) {
            argument.clone()
        } else {
            format!("'{}'", argument.replace('\'', r"'\''"))
        }
    };
    arguments.iter().map(quoted).collect::<Vec<_>>().join(" ")
}
