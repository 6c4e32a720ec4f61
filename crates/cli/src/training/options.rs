//! The flags of the subcommands that train.

use std::path::PathBuf;

use chainrule::prelude::*;
use clap::{ArgGroup, Args, Command, ValueEnum};

use super::data::DataOptions;
use super::distributed::DistributedOptions;
use super::memory::Limit;
use super::net::NetOptions;
use super::objective::LossKind;
use super::presets::RecipeName;
use super::program::{Labeled, Program};
use super::recipe::RecipeOptions;
use super::transfer::TransferOptions;
use super::views::TestViews;
use crate::compute::ComputeOptions;
use crate::failure::Failure;
use crate::numbers::{positive, share};

/// The temperature of annealed means in the paper that proposed them (Zhang, Isola, Efros: "Colorful image colorization", 2016).
pub const TEMPERATURE: f64 = 0.38;

/// The options of training.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// A whole recipe: the flags that it stands for are printed, and flags that are given beside it replace its own
    #[arg(id = "recipe", long, value_enum, value_name = "NAME")]
    recipe_name: Option<RecipeName>,
    /// Passes over the training set
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: u32,
    /// Images per batch
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: u32,
    /// Add the gradients of N batches before each step, which is then one of N times as many images, in the memory of one batch [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub accumulate: Option<u32>,
    /// Seed of everything random: the weights, the order of images, augmentation, dropout
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub net: NetOptions,
    #[command(flatten)]
    pub data: DataOptions,
    #[command(flatten)]
    pub transfer: TransferOptions,
    #[command(flatten)]
    pub optimizer: OptimizerOptions,
    #[command(flatten)]
    pub recipe: RecipeOptions,
    #[command(flatten)]
    pub files: FileOptions,
    #[command(flatten)]
    pub compute: ComputeOptions,
    #[command(flatten)]
    pub test: TestOptions,
    #[command(flatten)]
    pub distributed: DistributedOptions,
    /// For `colorize --out`: the temperature of the pictures by annealed means; near 0 the most probable colors, 1 their mean by the net's probabilities [default: 0.38]
    #[arg(long, value_name = "T", value_parser = positive, allow_negative_numbers = true)]
    temperature: Option<f64>,
    /// Do not train: find a learning rate by a range test, print it and, with FILE, draw the losses (SVG; in a build with `--features plots`)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["save", "save_best", "resume", "json", "out"])]
    #[allow(clippy::option_option)] // a flag whose value is optional, in the form that clap knows
    pub lr_find: Option<Option<PathBuf>>,
    /// Memory that the run may take, in megabytes [default: what the machine and its control group have left]
    #[arg(long, value_name = "MB")]
    memory: Option<u64>,
    /// Keep less for the backward pass: cut the net into N segments of layers or blocks, and compute all but the last again there. The bits are the same, on a GPU up to rounding
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..))]
    recompute: Option<u16>,
    /// Show the run on a dashboard with curves, if stdout is a terminal; in a build with `--features tui`
    #[arg(long)]
    pub tui: bool,
    /// Go on when a loss or a weight is not finite, instead of saying where it happened
    #[arg(long)]
    pub allow_nan: bool,
}

/// How the net is tested.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Test")]
pub struct TestOptions {
    /// What the net sees of a test image: the image; also its mirror image; or also both shifted by a pixel. Logits are averaged
    #[arg(long, value_enum, default_value_t = TestViews::One)]
    pub test_views: TestViews,
    /// Stop after N epochs without a better accuracy: on the --validation images, without them on the test images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub early_stop: Option<u32>,
}

/// The files that a run writes, and the one from which it goes on.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Files")]
#[command(group = ArgGroup::new("checkpoint").args(["out", "save"]).multiple(true))]
pub struct FileOptions {
    /// Leave a report (report.html), records of the training, pictures and a checkpoint in this directory
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Save a checkpoint to this file after each epoch [default: checkpoint.safetensors in the directory of --out]
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Also save every N steps
    #[arg(long, value_name = "N", requires = "checkpoint", value_parser = clap::value_parser!(u64).range(1..))]
    pub save_every: Option<u64>,
    /// Also save the epoch with the best accuracy to this file: on the --validation images, without them on the test images
    #[arg(long, value_name = "FILE")]
    pub save_best: Option<PathBuf>,
    /// Also keep the checkpoints of the last N epochs, beside that of --save: FILE.epoch-0001 and so on
    #[arg(long, value_name = "N", requires = "checkpoint", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// Resume from a checkpoint; the other flags must match those of the saved run
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// Write every tensor of this step to the standard output, and end: for `chainrule diff`
    #[arg(long, value_name = "STEP", hide = true)]
    pub trace_step: Option<u64>,
    /// Write JSON lines to this file: start or resume, each epoch, result, failed or interrupted; a resumed run appends
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl FileOptions {
    /// The file of the last state.
    pub fn save(&self) -> Option<PathBuf> {
        self.save.clone().or_else(|| Some(self.out.as_ref()?.join(super::out::CHECKPOINT)))
    }
}

/// The optimizer.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Optimizer")]
pub struct OptimizerOptions {
    /// Learning rate
    #[arg(long, default_value_t = 1e-3, value_parser = positive, allow_negative_numbers = true)]
    pub lr: f64,
    /// Optimizer; momentum and nesterov are SGD with --momentum, which rmsprop takes too
    #[arg(id = "optimizer", long, value_enum, default_value_t = OptimizerKind::Adam)]
    pub kind: OptimizerKind,
    /// Momentum of SGD [default: 0.9] and RMSprop [default: 0]
    #[arg(long, value_parser = share, allow_negative_numbers = true)]
    momentum: Option<f64>,
    /// Weight decay [default: 0, for adamw 0.01]
    #[arg(long, value_parser = crate::numbers::not_negative, allow_negative_numbers = true)]
    weight_decay: Option<f64>,
    /// Factor of the learning rate for biases and for the parameters of normalizations; their weight decay is divided by it
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = positive, allow_negative_numbers = true)]
    bias_lr: f64,
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
    /// RMSprop
    Rmsprop,
    /// Adagrad
    Adagrad,
    /// Adam with Nesterov momentum
    Nadam,
}

impl OptimizerOptions {
    /// The number of tensors of each parameter's size that the optimizer keeps.
    pub fn state_tensors(&self) -> usize {
        match self.kind {
            OptimizerKind::Adam | OptimizerKind::Adamw | OptimizerKind::Nadam => 2,
            OptimizerKind::Momentum | OptimizerKind::Nesterov | OptimizerKind::Adagrad => 1,
            OptimizerKind::Rmsprop => 1 + usize::from(self.momentum.is_some_and(|momentum| momentum > 0.0)),
            OptimizerKind::Sgd => 0,
        }
    }

    /// The optimizer of the parameters of a net. `lr_factor` gives the factor of a parameter's learning rate by its path.
    pub fn build(&self, net: &dyn Module, lr_factor: impl Fn(&str) -> f64) -> Box<dyn Optimizer> {
        // Parameters by the factor for their path and the one for biases. The first group has the rate that schedules set,
        // even if no parameter has it.
        let mut groups = vec![([1.0, 1.0], Vec::new())];
        for (path, parameter) in net.named_parameters() {
            let factors = [lr_factor(&path), if parameter.shape().rank() < 2 { self.bias_lr } else { 1.0 }];
            match groups.iter_mut().find(|(known, _)| *known == factors) {
                Some((_, parameters)) => parameters.push(parameter),
                None => groups.push((factors, vec![parameter])),
            }
        }
        let (lr, (_, first)) = (self.lr, groups.remove(0));
        macro_rules! build {
            ($optimizer:ident, $decay:expr $(, $method:ident($value:expr))*) => {{
                let decay = self.weight_decay.unwrap_or($decay);
                let mut optimizer = $optimizer::new(first, lr).weight_decay(decay)$(.$method($value))*;
                for ([path, bias], parameters) in groups {
                    // In the update, learning rate and decay are multiplied: the factor for biases cancels.
                    optimizer = optimizer.group(parameters, lr * path * bias).weight_decay(decay / bias);
                }
                Box::new(optimizer)
            }};
        }
        let momentum = self.momentum.unwrap_or(0.9);
        match self.kind {
            OptimizerKind::Adam => build!(Adam, 0.0),
            OptimizerKind::Adamw => build!(AdamW, 0.01),
            OptimizerKind::Sgd => build!(Sgd, 0.0),
            OptimizerKind::Momentum => build!(Sgd, 0.0, momentum(momentum)),
            OptimizerKind::Nesterov => build!(Sgd, 0.0, momentum(momentum), nesterov(true)),
            OptimizerKind::Rmsprop => build!(RmsProp, 0.0, momentum(self.momentum.unwrap_or(0.0))),
            OptimizerKind::Adagrad => build!(Adagrad, 0.0),
            OptimizerKind::Nadam => build!(NAdam, 0.0),
        }
    }

    /// Checks that a flag is given only with an optimizer that has it.
    fn check(&self) -> Result<(), Failure> {
        let has_momentum =
            matches!(self.kind, OptimizerKind::Momentum | OptimizerKind::Nesterov | OptimizerKind::Rmsprop);
        if self.momentum.is_some() && !has_momentum {
            let text = "--momentum is a setting of `--optimizer momentum`, `nesterov` and `rmsprop`";
            return Err(Failure::Usage(text.into()));
        }
        if self.momentum == Some(0.0) && self.kind == OptimizerKind::Nesterov {
            let text = "--momentum 0: Nesterov momentum must be positive; use `--optimizer sgd` for none";
            return Err(Failure::Usage(text.into()));
        }
        Ok(())
    }
}

impl Options {
    /// A parser of the flags of a training program, without its name before them.
    pub fn parser(program: Program) -> Command {
        program.with_defaults(Self::augment_args(Command::new(program.name()).no_binary_name(true)))
    }

    /// Checks that a flag is given only with a net, an optimizer and a program that have it.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self, program: Program) -> Result<(), Failure> {
        self.net.check(program)?;
        self.optimizer.check()?;
        self.recipe.check()?;
        if self.recompute.is_some() && self.transfer.cache_features.is_some() {
            let text = "--recompute is for nets that are trained as a whole: with --cache-features, most of the net is not run";
            return Err(Failure::Usage(text.into()));
        }
        if program.labeled() == Labeled::Images {
            let own = [("--colors", self.data.colors.is_some()), ("--temperature", self.temperature.is_some())];
            return match own.into_iter().find(|(_, given)| *given) {
                Some((flag, _)) => Err(Failure::Usage(format!("{flag} is a setting of `colorize`"))),
                None => Ok(()),
            };
        }
        let of_images = [
            ("--mixup", self.data.mixes()),
            ("--size", self.data.size.is_some()),
            ("--loss", self.recipe.loss != LossKind::CrossEntropy),
            ("--test-views", self.test.test_views != TestViews::One),
        ];
        match of_images.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(Failure::Usage(format!(
                "{flag} is for programs whose images have a label each; `{}` labels pixels",
                program.name()
            ))),
            None => Ok(()),
        }
    }

    /// Checks that a run in shards or in several processes has no flag that is for one process that computes whole batches.
    pub fn check_distributed(&self) -> Result<(), Failure> {
        self.distributed.check(&[
            ("--lr-find", self.lr_find.is_some()),
            ("--trace-step", self.files.trace_step.is_some()),
            ("--cache-features", self.transfer.cache_features.is_some()),
        ])
    }

    /// The net as it is trained: in segments that are computed again, if so many are asked for.
    ///
    /// # Errors
    /// If the net cannot be cut into so many.
    pub fn recomputed(&self, net: Box<dyn Module>) -> Result<Box<dyn Module>, Failure> {
        let Some(segments) = self.recompute.map(usize::from) else { return Ok(net) };
        let (name, parts) = (self.net.kind.name(), Recompute::parts(&*net));
        match parts {
            0 => {
                Err(Failure::Usage(format!("--recompute: the {name} net is no sequence of layers, which could be cut")))
            }
            parts if parts < segments => {
                Err(Failure::Usage(format!("--recompute {segments}: the {name} net can be cut into {parts} at most")))
            }
            _ => Ok(Box::new(Recompute::in_segments(net, segments))),
        }
    }

    /// The temperature of annealed means.
    pub fn temperature(&self) -> f64 {
        self.temperature.unwrap_or(TEMPERATURE)
    }

    /// The memory that the run may take.
    pub fn memory(&self) -> Limit {
        Limit(self.memory)
    }
}
