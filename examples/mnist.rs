//! Trains a small CNN on MNIST.
//!
//! `cargo run --release --example mnist -- --help`

#[path = "support/mod.rs"]
mod support;

use std::process::ExitCode;

use chainrule::data::mnist;
use clap::Parser;
use support::options::Options;
use support::small_cnn::SmallCnn;
use support::train::{Task, train};

/// Trains a small CNN on the handwritten digits of MNIST
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let Arguments { options } = Arguments::parse();
    support::main(|| {
        let device = options.prepare()?;
        let dataset = mnist::load(options.data_dir.as_deref(), options.offline, &mut support::report::download)?;
        let net = SmallCnn::new(&options, dataset.train().image_shape(), dataset.train().classes().len());
        let task = Task { program: "mnist", net: &net, dataset, augment: Vec::new(), settings: Vec::new() };
        train(task, &options, device)
    })
}
