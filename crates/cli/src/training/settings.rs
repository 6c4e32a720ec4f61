//! The flags that determine the result of a run: saved with it, compared when it is resumed, and enough to build its net again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use clap::{ArgMatches, Command};

use crate::failure::Failure;

/// Flags that change where a run reads and writes, how long it is, or what it shows, but not the bits of a step.
const OTHER_FLAGS: [&str; 29] = [
    "allow-nan",
    "bucket-mib",
    "cache-features",
    "data-dir",
    "device",
    "distributed",
    "early-stop",
    "epochs",
    "help",
    "json",
    "keep",
    "lr-find",
    "memory",
    "offline",
    "out",
    "precision",
    "recipe",
    "recompute",
    "resume",
    "save",
    "save-best",
    "save-every",
    "temperature",
    "threads",
    "timeout",
    "trace-step",
    "tui",
    "version",
    "workers",
];
/// The key of the subcommand among the saved settings.
const PROGRAM: &str = "program";

/// A training subcommand with the flags that determine its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    program: String,
    /// Values by flag, such as `--lr`; without the flags that have neither a value nor a default.
    flags: BTreeMap<String, String>,
}

impl Settings {
    /// The settings of a command line.
    ///
    /// # Panics
    /// If it has no subcommand of this program.
    pub fn of(cli: &Command, matches: &ArgMatches) -> Self {
        let (program, matches) = matches.subcommand().expect("a subcommand is required");
        let command = cli.find_subcommand(program).expect("it was parsed");
        let flags = command.get_arguments().filter_map(|argument| {
            let name = argument.get_long().filter(|name| !OTHER_FLAGS.contains(name))?;
            let values = matches.get_raw(argument.get_id().as_str())?;
            let values: Vec<String> = values.map(|value| canonical(&value.to_string_lossy())).collect();
            Some((format!("--{name}"), values.join(",")))
        });
        let mut flags: BTreeMap<String, String> = flags.collect();
        // The other schedules depend on the length of the run.
        if flags.get("--schedule").is_some_and(|schedule| !["constant", "plateau"].contains(&schedule.as_str())) {
            let epochs = matches.get_raw("epochs").into_iter().flatten().next();
            flags.extend(epochs.map(|epochs| ("--epochs".to_owned(), epochs.to_string_lossy().into_owned())));
        }
        Self { program: program.to_owned(), flags }
    }

    /// The entries of a checkpoint.
    pub fn entries(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let program = (PROGRAM.to_owned(), self.program.clone());
        std::iter::once(program).chain(self.flags.iter().map(|(flag, value)| (flag.clone(), value.clone())))
    }

    /// The settings among the entries of a checkpoint.
    ///
    /// # Errors
    /// If no subcommand wrote them.
    pub fn saved(path: &Path, entries: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let program = entries.get(PROGRAM).ok_or_else(|| {
            Failure::Input(format!(
                "{} was not saved by a training command of this program: it has no entry \"{PROGRAM}\"",
                path.display()
            ))
        })?;
        let flags = entries.iter().filter(|(key, _)| key.starts_with("--"));
        Ok(Self { program: program.clone(), flags: flags.map(|(flag, value)| (flag.clone(), value.clone())).collect() })
    }

    /// The subcommand.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The flags with their values, such as `--lr=0.001`, as a command line has them.
    pub fn arguments(&self) -> impl Iterator<Item = OsString> + '_ {
        self.flags.iter().filter_map(|(flag, value)| match value.as_str() {
            "false" => None,
            "true" => Some(flag.into()),
            _ => Some(format!("{flag}={value}").into()),
        })
    }

    /// Checks that a run with these settings may go on from a checkpoint with the `saved` ones.
    ///
    /// # Errors
    /// The first flag that differs.
    pub fn check_same(&self, path: &Path, saved: &Self) -> Result<(), Failure> {
        let path = path.display();
        if saved.program != self.program {
            let (saved, own) = (&saved.program, &self.program);
            return Err(Failure::Usage(format!(
                "{path} was saved by `{saved}`, and this is `{own}`; give the same command"
            )));
        }
        let flags: BTreeSet<&String> = self.flags.keys().chain(saved.flags.keys()).collect();
        for flag in flags {
            let text = |value: Option<&String>, without: &str| match value.map(String::as_str) {
                None | Some("false") => format!("{without} {flag}"),
                Some("true") => format!("with {flag}"),
                Some(value) => format!("with {flag} {value}"),
            };
            let (before, now) = (text(saved.flags.get(flag), "without"), text(self.flags.get(flag), "without"));
            if before != now {
                return Err(Failure::Usage(format!(
                    "{path} was saved by a run {before}, this one is {now}; give the same flags"
                )));
            }
        }
        Ok(())
    }
}

/// A number in its shortest form, so that 1e-3 and 0.001 are the same; any other text as it is.
fn canonical(value: &str) -> String {
    match value.parse::<f64>() {
        // A large integer, such as a seed, may have no equal float.
        Ok(number) if value.parse::<u64>().is_err() => number.to_string(),
        _ => value.to_owned(),
    }
}
