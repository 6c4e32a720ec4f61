//! Ctrl-C: the first asks the run to end after its step, the second ends the program at once.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Failure, INTERRUPTED};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Starts to watch for Ctrl-C.
pub fn watch() -> Result<(), Failure> {
    let handle = || {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            #[cfg(feature = "tui")]
            crate::terminal::restore();
            std::process::exit(INTERRUPTED.into());
        }
        // The terminal may be gone, and a panic would end the thread that handles the second Ctrl-C.
        let _ = writeln!(io::stderr(), "\ninterrupted: ending after this step; once more ends at once");
    };
    match ctrlc::try_set_handler(handle) {
        // A shell starts a job in the background so that it ignores Ctrl-C, and so it stays.
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether the run should end.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// The command line of this run with `--resume`, to be pasted into a shell.
pub fn command_to_resume(saved: &Path) -> String {
    let mut arguments = Vec::new();
    let mut given = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    while let Some(argument) = given.next() {
        // The file that this run itself was resumed from is older.
        if argument == "--resume" {
            given.next();
        } else if !argument.starts_with("--resume=") {
            arguments.push(argument);
        }
    }
    arguments.extend(["--resume".to_owned(), saved.display().to_string()]);
    for_a_shell(&arguments)
}

/// The command line of this process, to be pasted into a shell.
pub fn command_line() -> String {
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    for_a_shell(&arguments)
}

fn for_a_shell(arguments: &[String]) -> String {
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
