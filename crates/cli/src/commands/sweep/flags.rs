//! The flags of a sweep: those of the training programs, with one value or with a list of values.

use std::any::TypeId;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command};

use crate::failure::Failure;
use crate::training::options::Options;

/// Flags of the training programs that a sweep sets itself, for each run, or that are not for several runs.
const NOT_SWEPT: [&str; 10] =
    ["json", "keep", "lr-find", "out", "resume", "save", "save-best", "save-every", "seed", "tui"];

/// A flag with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The name without hyphens.
    pub name: String,
    pub values: Vec<String>,
    /// Whether it is a flag without a value, whose values here are `on` and `off`.
    switch: bool,
}

/// The flags that a sweep takes over, as the training programs define them.
fn definitions() -> Vec<Arg> {
    let command = Options::augment_args(Command::new("options"));
    let swept = |argument: &&Arg| argument.get_long().is_some_and(|name| !NOT_SWEPT.contains(&name));
    command.get_arguments().filter(swept).cloned().collect()
}

fn is_switch(definition: &Arg) -> bool {
    !definition.get_action().takes_values()
}

/// The same flags as arguments whose value may be a list.
pub fn arguments() -> Vec<Arg> {
    let listed = |definition: Arg| {
        let switch = is_switch(&definition);
        let argument = definition
            .action(ArgAction::Set)
            .value_parser(ValueParser::string())
            .value_delimiter(None)
            .default_value(None)
            .required(false);
        if switch {
            argument.num_args(0..=1).require_equals(true).default_missing_value("on").value_name("on,off")
        } else {
            argument.num_args(1)
        }
    };
    definitions().into_iter().map(listed).collect()
}

/// The flags of a parsed command line, in the order in which they were given.
///
/// # Errors
/// If a list contains a value twice, or a flag without a value has another than `on` and `off`.
pub fn given(matches: &ArgMatches) -> Result<Vec<Flag>, Failure> {
    let mut found = Vec::new();
    for definition in definitions() {
        let id = definition.get_id().as_str();
        let Some((text, at)) = matches.get_one::<String>(id).zip(matches.index_of(id)) else { continue };
        found.push((at, Flag::new(&definition, text)?));
    }
    found.sort_by_key(|&(at, _)| at);
    Ok(found.into_iter().map(|(_, flag)| flag).collect())
}

impl Flag {
    /// A list is separated by semicolons or, if a single value has no commas of its own, by commas.
    fn new(definition: &Arg, text: &str) -> Result<Self, Failure> {
        let name = definition.get_long().expect("only such flags are taken").to_owned();
        let separator = if !text.contains(';') && !has_commas(definition) { ',' } else { ';' };
        let mut values: Vec<String> = Vec::new();
        for value in text.split(separator).map(str::trim) {
            if values.iter().any(|known| known == value) {
                return Err(Failure::Usage(format!("--{name}: {value} is listed twice")));
            }
            values.push(value.to_owned());
        }
        let switch = is_switch(definition);
        if let Some(value) = values.iter().find(|value| switch && !["on", "off"].contains(&value.as_str())) {
            return Err(Failure::Usage(format!(
                "--{name}={value}: expected on, off or both: --{name}=off,on; --{name} alone is on"
            )));
        }
        Ok(Self { name, values, switch })
    }

    /// The flag with one of its values, as a training program takes it; `None` for a switch that is off.
    pub fn with(&self, value: &str) -> Option<String> {
        match (self.switch, value) {
            (true, "off") => None,
            (true, _) => Some(format!("--{}", self.name)),
            (false, _) => Some(format!("--{}={value}", self.name)),
        }
    }

    /// The flag with all of its values, as a sweep takes it.
    pub fn text(&self) -> String {
        let Self { name, values, switch } = self;
        match values.as_slice() {
            [on] if *switch && on == "on" => format!("--{name}"),
            [value] => format!("--{name}={value}"),
            _ if values.iter().any(|value| value.contains(',')) => format!("--{name}='{}'", values.join(";")),
            _ => format!("--{name}={}", values.join(",")),
        }
    }
}

/// Whether a single value of a flag has commas, or may have some, as a path.
fn has_commas(definition: &Arg) -> bool {
    let named = definition.get_value_names().unwrap_or_default().iter().any(|name| name.contains(','));
    let path = definition.get_value_parser().type_id() == TypeId::of::<PathBuf>();
    definition.get_value_delimiter().is_some() || named || path
}

/// What to add to the error of a value: how lists are separated, where it is not by commas.
pub fn hint(flags: &[Flag]) -> String {
    let definitions = definitions();
    let several = |flag: &&Flag| {
        let definition = definitions.iter().find(|definition| definition.get_long() == Some(&flag.name));
        definition.is_some_and(has_commas) && flag.values.len() == 1 && flag.values[0].contains(',')
    };
    let lines = flags.iter().filter(several).map(|flag| {
        format!(
            "\n  a value of --{0} has commas of its own: separate a list of them by semicolons, as in --{0} 'A;B'",
            flag.name
        )
    });
    lines.collect()
}
