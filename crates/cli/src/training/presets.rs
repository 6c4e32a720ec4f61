//! Recipes: flags that stand for other flags.

use std::ffi::{OsStr, OsString};

use clap::ValueEnum;

use super::program::Program;

/// A whole recipe of training, as a list of flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecipeName {
    /// The recipe of `--net fast`, which needs few operations for its accuracy on CIFAR-10
    Fast,
}

/// The flags of the recipe of the fast net. The published learning rate is 11.5/(1 + 1/(1 − momentum)) for a loss that is summed over a batch of 1024, a
/// weight decay of 0.0153·1024 for 1024 images that is not multiplied by the learning rate, both divided by
/// 1024·(1 + 1/(1 − momentum)); here they are those of a mean loss.
const FAST: &[&str] = &[
    "--net=fast",
    "--batch-size=1024",
    "--drop-last",
    "--optimizer=nesterov",
    "--momentum=0.85",
    "--lr=1.5",
    "--bias-lr=64",
    "--weight-decay=0.00133043",
    "--schedule=triangle",
    "--label-smoothing=0.2",
    "--augment=fast",
    "--normalize=standard",
    "--freeze=whitening.bias:3",
    "--test-views=shifted",
    "--epochs=10",
];

/// The flags that a flag stands for.
fn expansion(flag: &str, value: &str) -> Option<&'static [&'static str]> {
    match (flag, value) {
        ("--recipe" | "--net", "fast") => Some(FAST),
        _ => None,
    }
}

/// A command line in which the flags of a recipe follow the subcommand. The flags that the user gives come later, and the last one counts.
pub fn expanded(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let trains = |name: &OsString| name.to_str().is_some_and(|name| Program::named(name).is_some());
    let Some(subcommand) = arguments.iter().skip(1).take(1).position(trains).map(|i| i + 2) else { return arguments };
    let flags = arguments[subcommand..].iter().zip(arguments[subcommand..].iter().skip(1).map(Some).chain([None]));
    let found: Vec<&str> = flags
        .flat_map(|(flag, next)| {
            let flag = flag.to_str().unwrap_or_default();
            let (flag, value) = flag
                .split_once('=')
                .unwrap_or((flag, next.and_then(|next: &OsString| next.to_str()).unwrap_or_default()));
            expansion(flag, value).unwrap_or_default().iter().copied()
        })
        .collect();
    arguments.splice(subcommand..subcommand, found.into_iter().map(|flag| OsStr::new(flag).to_owned()));
    arguments
}
