//! The command `chainrule`. `chainrule help` lists its subcommands.

mod commands;
mod compute;
mod failure;
mod nets;
mod numbers;
#[cfg(feature = "tui")]
mod terminal;
mod training;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
#[cfg(feature = "onnx")]
use commands::export;
#[cfg(feature = "plots")]
use commands::plot;
use commands::{
    break_law, check, diff, doctor, evaluate, explain, ledger, predict, report, summary, sweep, throughput,
    two_neurons, worksheet,
};
use training::options::Options;
use training::program::Program;
use training::settings::Settings;
use training::{presets, train};

/// Trains convolutional nets and shows how backpropagation works
#[derive(Parser)]
#[command(name = "chainrule", version, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains a CNN on the handwritten digits of MNIST
    Mnist(Box<Options>),
    /// Trains a CNN on the clothing of Fashion-MNIST
    FashionMnist(Box<Options>),
    /// Trains a CNN on the images of CIFAR-10
    Cifar10(Box<Options>),
    /// Trains a CNN on the images of CIFAR-100
    Cifar100(Box<Options>),
    /// Trains a CNN to color the gray images of a class of CIFAR-10: a color of a palette for each pixel
    Colorize(Box<Options>),
    /// Trains a small net on CIFAR-100, or on half of the classes of CIFAR-10, for `transfer` to go on from
    ///
    /// Without CIFAR-100 at hand it is trained on the first five classes of CIFAR-10. The defaults differ from those of `cifar10`.
    Pretrain(Box<Options>),
    /// Trains a part of a net that begins with the weights of another run, on CIFAR-10 or on a folder of images
    ///
    /// By default torchvision's ResNet-18 on images of 224×224, of which only the last layer is trained. --weights has the
    /// weights to begin with.
    #[command(verbatim_doc_comment)]
    Transfer(Box<Options>),
    Sweep(Box<sweep::Arguments>),
    Evaluate(evaluate::Arguments),
    Report(report::Arguments),
    Predict(predict::Arguments),
    #[cfg(feature = "onnx")]
    Export(export::Arguments),
    /// Writes the net of a checkpoint as an ONNX file (in a build with `--features onnx`)
    #[cfg(not(feature = "onnx"))]
    #[command(disable_help_flag = true)]
    Export {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        arguments: Vec<String>,
    },
    Diff(diff::Arguments),
    TwoNeurons(two_neurons::Arguments),
    Explain(explain::Arguments),
    Ledger(ledger::Arguments),
    Break(break_law::Arguments),
    Summary(summary::Arguments),
    Throughput(throughput::Arguments),
    #[cfg(feature = "plots")]
    Plot(plot::Arguments),
    /// Draws activation functions, gradient flow or a loss landscape (in a build with `--features plots`)
    #[cfg(not(feature = "plots"))]
    #[command(disable_help_flag = true)]
    Plot {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        arguments: Vec<String>,
    },
    Check(check::Arguments),
    Worksheet(worksheet::Arguments),
    /// Reports the usable hardware of this machine, and how to fix what is missing
    Doctor,
    /// Prints a shell completion script
    ///
    /// Example: chainrule completions bash > ~/.local/share/bash-completion/completions/chainrule
    #[command(verbatim_doc_comment)]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// The command line, with the defaults of each training program.
fn cli() -> clap::Command {
    let with_defaults =
        |cli: clap::Command, program: Program| cli.mut_subcommand(program.name(), |own| program.with_defaults(own));
    Program::ALL.into_iter().fold(Cli::command(), with_defaults)
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let recipe = presets::flags(&arguments);
    let matches = cli().get_matches_from(presets::expanded(arguments));
    let Cli { command } = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let train = |program, options: &Options| train::train(program, options, &recipe, Settings::of(&cli(), &matches));
    failure::exit_code_of(|| match command {
        Command::Mnist(options) => train(Program::Mnist, &options),
        Command::FashionMnist(options) => train(Program::FashionMnist, &options),
        Command::Cifar10(options) => train(Program::Cifar10, &options),
        Command::Cifar100(options) => train(Program::Cifar100, &options),
        Command::Colorize(options) => train(Program::Colorize, &options),
        Command::Pretrain(options) => train(Program::Pretrain, &options),
        Command::Transfer(options) => train(Program::Transfer, &options),
        Command::Sweep(arguments) => sweep::run(*arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        #[cfg(feature = "onnx")]
        Command::Export(arguments) => export::run(&arguments),
        #[cfg(not(feature = "onnx"))]
        Command::Export { arguments } => Err(failure::Failure::Usage(format!(
            "this program was built without ONNX; from the source: cargo run --release --features onnx -- export {}",
            arguments.join(" ")
        ))),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::TwoNeurons(arguments) => two_neurons::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Ledger(arguments) => ledger::run(&arguments),
        Command::Break(arguments) => break_law::run(&arguments),
        Command::Summary(arguments) => summary::run(&arguments),
        Command::Throughput(arguments) => throughput::run(&arguments),
        #[cfg(feature = "plots")]
        Command::Plot(arguments) => plot::run(&arguments),
        #[cfg(not(feature = "plots"))]
        Command::Plot { arguments } => Err(failure::Failure::Usage(format!(
            "this program was built without plots; from the source: cargo run --release --features plots -- plot {}",
            arguments.join(" ")
        ))),
        Command::Check(arguments) => check::run(&arguments),
        Command::Worksheet(arguments) => worksheet::run(&arguments),
        Command::Doctor => doctor::run(),
        Command::Completions { shell } => {
            print!("{}", completions(shell));
            Ok(())
        }
    })
}

/// The completion script, generated before printing: `clap_complete` panics with its own message on a broken pipe.
fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli(), "chainrule", &mut script);
    String::from_utf8(script).expect("the script is text")
}
