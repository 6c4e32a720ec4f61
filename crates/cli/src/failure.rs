//! Failures of a subcommand: message and exit code.

use std::io::{self, Write};
use std::process::ExitCode;

/// The error message of a subcommand; the variant determines the exit code.
pub enum Failure {
    /// Invalid usage: exit code 2.
    Usage(String),
    /// Anything else: exit code 1.
    Run(String),
    /// A check found something wrong, and the report says what: exit code 1, no message.
    Found,
    /// An input file is wrong: exit code 2.
    Input(String),
    /// The user interrupted the run, which was ended in good order: exit code 130.
    Interrupted(String),
}

impl Failure {
    /// Prints the message, with whose it is before it, and returns the exit code.
    pub fn report(&self, whose: &str) -> u8 {
        let text = match self {
            Self::Usage(text) => format!("error: {whose}{text}\n\nFor more information, try '--help'.\n"),
            Self::Run(text) | Self::Input(text) => format!("error: {whose}{text}\n"),
            Self::Found => String::new(),
            Self::Interrupted(text) => format!("{whose}{text}\n"),
        };
        // In one call: several processes write to one terminal. If nobody reads it, there is nobody to tell.
        let _ = io::stderr().write_all(text.as_bytes());
        match self {
            Self::Usage(_) | Self::Input(_) => 2,
            Self::Run(_) | Self::Found => 1,
            Self::Interrupted(_) => INTERRUPTED,
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Run(error.to_string())
    }
}

/// The exit code after Ctrl-C, as in shells: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;

/// The exit code after a broken pipe, as in shells: 128 + SIGPIPE.
const BROKEN_PIPE: i32 = 141;

/// Ends the program where a panic is not a fault of the program. `println!` panics on a broken pipe: `chainrule mnist | head`
/// exits silently when `head` does. Tensors panic where there is no memory: the text of the panic is the error.
fn handle_expected_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        #[cfg(feature = "tui")]
        crate::terminal::restore();
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to stdout: Broken pipe") {
            std::process::exit(BROKEN_PIPE);
        }
        if text.contains(": out of memory: ") {
            eprintln!("error: {text}");
            std::process::exit(1);
        }
        report(panic);
    }));
}

/// Runs a subcommand, prints its error message, and notes an unoptimized build.
pub fn exit_code_of(body: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("note: this is an unoptimized build; `cargo run --release -- …` is faster");
    }
    handle_expected_panics();
    match body() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.report("")),
    }
}
