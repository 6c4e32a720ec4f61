//! The flags of the subcommands that train.

use std::path::PathBuf;
use std::str::FromStr;

use chainrule::prelude::*;
use clap::{Args, ValueEnum};

use super::recipe::RecipeOptions;
use crate::compute::ComputeOptions;
use crate::numbers::positive;

/// The options of training.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Passes over the training set
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: u32,
    /// Images per batch
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: u32,
    /// Learning rate
    #[arg(long, default_value_t = 1e-3, value_parser = positive, allow_negative_numbers = true)]
    pub lr: f64,
    /// Optimizer; momentum and nesterov are SGD with momentum 0.9
    #[arg(long, value_enum, default_value_t = OptimizerKind::Adam)]
    pub optimizer: OptimizerKind,
    /// Activation function: relu, sigmoid, tanh, swish, mish, gelu, elu, softplus or leaky:<slope>
    #[arg(long, default_value = "relu", value_parser = Activation::from_str)]
    pub activation: Activation,
    /// Activation function after the convolutions [default: the same as --activation]
    #[arg(long, value_parser = Activation::from_str)]
    pub conv_activation: Option<Activation>,
    /// Kernel size of the convolutions
    #[arg(long, default_value_t = 3, value_parser = kernel)]
    pub kernel: usize,
    /// Dropout probability between the linear layers [default: 0, for `cifar10 --net report` 0.1]
    #[arg(long, value_parser = probability)]
    pub dropout: Option<f64>,
    /// Output channels of the two convolutions
    #[arg(long, default_value = "8,16", value_parser = Channels::from_str)]
    pub channels: Channels,
    /// Seed of everything random: the weights, the order of images, dropout
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub recipe: RecipeOptions,
    #[command(flatten)]
    pub compute: ComputeOptions,
    /// The dataset: a directory of IDX files for `mnist`; of batch files or of images, or an archive, for `cifar10`
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Never use the network
    #[arg(long)]
    pub offline: bool,
    /// Save a checkpoint to this file after each epoch
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Also save every N steps
    #[arg(long, value_name = "N", requires = "save", value_parser = clap::value_parser!(u64).range(1..))]
    pub save_every: Option<u64>,
    /// Resume from a checkpoint; the other flags must match those of the saved run
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// Memory that the run may take, in megabytes [default: what the machine and its control group have left]
    #[arg(long, value_name = "MB")]
    pub memory: Option<u64>,
    /// Go on when a loss or a weight is not finite, instead of saying where it happened
    #[arg(long)]
    pub allow_nan: bool,
    /// Write JSON lines to this file: start or resume, each epoch, result, failed or interrupted; a resumed run appends
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// An optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OptimizerKind {
    /// Adam
    Adam,
    /// Adam with decoupled weight decay 0.01
    Adamw,
    /// Stochastic gradient descent
    Sgd,
    /// SGD with momentum 0.9
    Momentum,
    /// SGD with Nesterov momentum 0.9
    Nesterov,
}

impl OptimizerKind {
    /// The number of tensors of each parameter's size that the optimizer keeps.
    pub fn state_tensors(self) -> usize {
        match self {
            Self::Adam | Self::Adamw => 2,
            Self::Momentum | Self::Nesterov => 1,
            Self::Sgd => 0,
        }
    }
}

/// The output channels of the two convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels(pub [usize; 2]);

impl FromStr for Channels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let channels: Vec<usize> = text.split(',').filter_map(|part| part.trim().parse().ok()).collect();
        match (&channels[..], text.split(',').count()) {
            (&[a, b], 2) if a > 0 && b > 0 => Ok(Self([a, b])),
            _ => Err("expected two positive integers, such as 8,16".into()),
        }
    }
}

fn probability(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if (0.0..1.0).contains(&p) => Ok(p),
        _ => Err("expected a probability of at least 0 and less than 1, such as 0.5".into()),
    }
}

fn kernel(text: &str) -> Result<usize, String> {
    match text {
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("expected 3 or 5".into()),
    }
}

impl Options {
    /// The activation function after the convolutions.
    pub fn conv_activation(&self) -> Activation {
        self.conv_activation.unwrap_or(self.activation)
    }

    /// Creates the optimizer of `parameters`.
    pub fn optimizer(&self, parameters: Vec<Var>) -> Box<dyn Optimizer> {
        let (lr, decay) = (self.lr, self.recipe.weight_decay());
        let sgd = Sgd::new(parameters.clone(), lr).weight_decay(decay.unwrap_or(0.0));
        match self.optimizer {
            OptimizerKind::Adam => Box::new(Adam::new(parameters, lr).weight_decay(decay.unwrap_or(0.0))),
            OptimizerKind::Adamw => {
                let adamw = AdamW::new(parameters, lr);
                Box::new(if let Some(decay) = decay { adamw.weight_decay(decay) } else { adamw })
            }
            OptimizerKind::Sgd => Box::new(sgd),
            OptimizerKind::Momentum => Box::new(sgd.momentum(0.9)),
            OptimizerKind::Nesterov => Box::new(sgd.momentum(0.9).nesterov(true)),
        }
    }

    /// The flags that a resumed run must share with the saved one, and their values.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("--batch-size", self.batch_size.to_string()),
            ("--lr", self.lr.to_string()),
            ("--optimizer", format!("{:?}", self.optimizer).to_lowercase()),
            ("--activation", self.activation.to_string()),
            ("--conv-activation", self.conv_activation().to_string()),
            ("--kernel", self.kernel.to_string()),
            ("--dropout", self.dropout.map_or("default of the net".into(), |p| p.to_string())),
            ("--channels", format!("{},{}", self.channels.0[0], self.channels.0[1])),
            ("--seed", self.seed.to_string()),
        ];
        settings.extend(self.recipe.settings(self.epochs));
        settings
    }
}
