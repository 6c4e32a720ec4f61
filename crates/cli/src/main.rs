//! The command `chainrule`: a subcommand for each thing that it does. `chainrule help` lists them.

mod commands;
mod compute;
mod failure;
mod training;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use commands::{cifar10, doctor, mnist, throughput, two_neurons};

/// Trains convolutional nets, and shows how backpropagation works
#[derive(Parser)]
#[command(name = "chainrule", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Mnist(mnist::Arguments),
    Cifar10(cifar10::Arguments),
    /// Prints two published derivations, factor by factor as on paper, beside autograd and a central difference
    TwoNeurons,
    Throughput(throughput::Arguments),
    /// Says what chainrule can use of this machine, and what to do about what is missing
    Doctor,
    /// Prints a script that completes this command's words in a shell
    ///
    /// For bash: chainrule completions bash > ~/.local/share/bash-completion/completions/chainrule
    #[command(verbatim_doc_comment)]
    Completions {
        /// The shell that the script is for
        shell: Shell,
    },
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    failure::exit_code_of(|| match command {
        Command::Mnist(arguments) => mnist::run(&arguments),
        Command::Cifar10(arguments) => cifar10::run(&arguments),
        Command::TwoNeurons => {
            two_neurons::run();
            Ok(())
        }
        Command::Throughput(arguments) => throughput::run(&arguments),
        Command::Doctor => doctor::run(),
        Command::Completions { shell } => {
            print!("{}", completions(shell));
            Ok(())
        }
    })
}

/// The script is made before it is printed: `clap_complete` takes a pipe that nobody reads for a bug.
fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "chainrule", &mut script);
    String::from_utf8(script).expect("the script is made of the help's text")
}
