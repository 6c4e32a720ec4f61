//! How a subcommand fails: a message, and an exit code.

use std::process::ExitCode;

/// What it failed for, and the exit code that goes with it.
pub enum Failure {
    /// Wrong usage: exit code 2.
    Usage(String),
    /// Anything else: exit code 1.
    Run(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Run(error.to_string())
    }
}

/// The exit code of a program whose reader has gone away, as shells have it: 128 + SIGPIPE.
const NOBODY_READS: i32 = 141;

/// `chainrule mnist | head` ends when `head` does, without a word: printing to a closed pipe panics, with this text.
fn end_quietly_when_nobody_reads() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>();
        if text.is_some_and(|text| text.starts_with("failed printing to stdout: Broken pipe")) {
            std::process::exit(NOBODY_READS);
        }
        report(panic);
    }));
}

/// Runs a subcommand's body, prints what it failed for, and says so if the build is a slow one.
pub fn exit_code_of(body: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("note: this is an unoptimized build; `cargo run --release -- …` is faster");
    }
    end_quietly_when_nobody_reads();
    match body() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            eprintln!("error: {text}\n\nFor more information, try '--help'.");
            ExitCode::from(2)
        }
        Err(Failure::Run(text)) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}
