//! Trains a small CNN on MNIST.

use chainrule::data::mnist;
use clap::Args;

use crate::failure::Failure;
use crate::training::options::Options;
use crate::training::report;
use crate::training::small_cnn::small_cnn;
use crate::training::train::{Task, train};

/// Trains a small CNN on the handwritten digits of MNIST
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    options: Options,
}

pub fn run(Arguments { options }: &Arguments) -> Result<(), Failure> {
    let device = options.compute.prepare()?;
    let dataset = mnist::load(options.data_dir.as_deref(), options.offline, &mut report::download)?;
    let net = small_cnn(options, dataset.train().image_shape(), dataset.train().classes().len())?;
    let task = Task { program: "mnist", net: &net, dataset, augment: Vec::new(), settings: Vec::new() };
    train(task, options, device)
}
