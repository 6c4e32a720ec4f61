//! The runs of a sweep: every combination of the listed values, with every seed.

use clap::FromArgMatches as _;

use super::flags::{Flag, hint};
use crate::failure::Failure;
use crate::training::options::Options;
use crate::training::presets;
use crate::training::program::Program;

/// A program, the flags that all runs have, those that differ, and the seeds.
pub struct Grid {
    pub program: Program,
    fixed: Vec<Flag>,
    pub lists: Vec<Flag>,
    pub seeds: Vec<u64>,
}

/// A value of each of the flags that differ.
pub type Setting = Vec<String>;

impl Grid {
    pub fn new(program: Program, flags: Vec<Flag>, seeds: Vec<u64>) -> Self {
        let (lists, fixed) = flags.into_iter().partition(|flag| flag.values.len() > 1);
        Self { program, fixed, lists, seeds }
    }

    /// All combinations; the values of the last flag change fastest.
    pub fn settings(&self) -> Vec<Setting> {
        self.lists.iter().fold(vec![Vec::new()], |settings, flag| {
            let with = |setting: &Setting| {
                let setting = setting.clone();
                flag.values.iter().map(move |value| [&setting[..], std::slice::from_ref(value)].concat())
            };
            settings.iter().flat_map(with).collect()
        })
    }

    /// The command line of a run after the name of the program.
    pub fn command(&self, setting: &Setting, seed: u64) -> Vec<String> {
        let fixed = self.fixed.iter().filter_map(|flag| flag.with(&flag.values[0]));
        let own = self.lists.iter().zip(setting).filter_map(|(flag, value)| flag.with(value));
        let name = self.program.name().to_owned();
        std::iter::once(name).chain(fixed).chain(own).chain([format!("--seed={seed}")]).collect()
    }

    /// A name of a run for a folder.
    pub fn name(&self, setting: &Setting, seed: u64) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-._+".contains(c) { c } else { '_' };
        let part = |(flag, value): (&Flag, &String)| format!("{}={}", flag.name, value.replace(|c| plain(c) != c, "_"));
        let parts = self.lists.iter().zip(setting).map(part);
        parts.chain([format!("seed={seed}")]).collect::<Vec<_>>().join(",")
    }

    /// Checks the command line of every setting as the training program would, before any run is started.
    ///
    /// # Errors
    /// The first wrong one.
    pub fn check(&self) -> Result<(), Failure> {
        let all: Vec<Flag> = self.fixed.iter().chain(&self.lists).cloned().collect();
        for setting in self.settings() {
            let command = self.command(&setting, self.seeds[0]);
            check(self.program, &command).map_err(|text| {
                let text = text + &hint(&all);
                Failure::Usage(format!(
                    "{text}\n  found before any run was started, in: chainrule {}",
                    command.join(" ")
                ))
            })?;
        }
        Ok(())
    }
}

fn check(program: Program, command: &[String]) -> Result<(), String> {
    let line = std::iter::once("chainrule").chain(command.iter().map(String::as_str)).map(Into::into);
    let flags = presets::expanded(line.collect()).split_off(2);
    let parsed = Options::parser(program).args_override_self(true).try_get_matches_from(flags);
    let options = parsed.and_then(|matches| Options::from_arg_matches(&matches)).map_err(|error| {
        let text = error.to_string();
        let about = text.split("\n\nUsage:").next().and_then(|text| text.split("\n\nFor more").next());
        about.unwrap_or_default().trim_start_matches("error: ").trim_end().to_owned()
    })?;
    options.check(program).map_err(|failure| match failure {
        Failure::Usage(text) | Failure::Run(text) | Failure::Input(text) | Failure::Interrupted(text) => text,
        Failure::Found => String::new(),
    })
}
