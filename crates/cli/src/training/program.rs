//! The subcommands that train: their datasets, and what these need.

use std::fmt;
use std::path::Path;

use chainrule::data::{DataError, Dataset, Normalize, cifar10, cifar100, fashion_mnist, mnist};
use clap::Command;
use serde::{Deserialize, Serialize};

use super::report;

/// A subcommand that trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Mnist,
    FashionMnist,
    Cifar10,
    Cifar100,
    Colorize,
    Pretrain,
    Transfer,
}

/// What has a label.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Labeled {
    #[default]
    Images,
    Pixels,
}

impl fmt::Display for Labeled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Images => "images",
            Self::Pixels => "pixels",
        })
    }
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Mnist,
        Self::FashionMnist,
        Self::Cifar10,
        Self::Cifar100,
        Self::Colorize,
        Self::Pretrain,
        Self::Transfer,
    ];

    /// The name of the subcommand.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::Colorize => "colorize",
            Self::Pretrain => "pretrain",
            Self::Transfer => "transfer",
        }
    }

    /// The subcommand of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|program| program.name() == name)
    }

    /// What has a label in the batches.
    pub fn labeled(self) -> Labeled {
        if self == Self::Colorize { Labeled::Pixels } else { Labeled::Images }
    }

    /// The command with the flags of training programs, with the defaults of this one where it has its own.
    pub fn with_defaults(self, command: Command) -> Command {
        let defaults: &[(&str, &str)] = match self {
            Self::Colorize => &[("net", "base"), ("classes", "horse"), ("batch_size", "100"), ("epochs", "30")],
            // A net that takes little time, trained well enough for its features to be of use.
            Self::Pretrain => &[
                ("net", "resnet20"),
                ("augment", "crop-flip"),
                ("normalize", "standard"),
                ("lr", "0.003"),
                ("schedule", "one-cycle"),
                ("weight_decay", "0.0005"),
                ("epochs", "10"),
                ("save", "pretrained.safetensors"),
            ],
            // The last layer of a net that was trained on ImageNet.
            Self::Transfer => &[
                ("net", "torchvision-resnet18"),
                ("size", "224"),
                ("normalize", "imagenet"),
                ("train", "fc"),
                ("epochs", "2"),
            ],
            _ => &[],
        };
        let with = |command: Command, &(flag, value)| command.mut_arg(flag, |flag| flag.default_value(value));
        defaults.iter().fold(command, with)
    }

    /// Whether its images are those of CIFAR-10.
    pub fn is_cifar10(self) -> bool {
        matches!(self, Self::Cifar10 | Self::Colorize | Self::Pretrain | Self::Transfer)
    }

    /// The dataset: from a directory, embedded, downloaded earlier, or downloaded now.
    pub fn dataset(self, directory: Option<&Path>, offline: bool) -> Result<Dataset, DataError> {
        let progress = &mut report::download;
        match self {
            Self::Mnist => mnist::load(directory, offline, progress),
            Self::FashionMnist => fashion_mnist::load(directory, offline, progress),
            Self::Cifar10 | Self::Colorize | Self::Transfer => cifar10::load(directory, offline, progress),
            // CIFAR-100 if it is there; it is not downloaded for this.
            Self::Pretrain => cifar100::load(directory, cifar100::Labels::Fine, true, progress)
                .or_else(|_| cifar10::load(directory, offline, progress)),
            Self::Cifar100 => cifar100::load(directory, cifar100::Labels::Fine, offline, progress),
        }
    }

    /// Normalization by mean and standard deviation of each channel over the training set, to the published four digits.
    pub fn standardize(self) -> Normalize {
        Normalize::new(match self {
            Self::Mnist => &[(0.1307, 0.3081)],
            Self::FashionMnist => &[(0.2860, 0.3530)],
            Self::Cifar10 | Self::Colorize | Self::Pretrain | Self::Transfer => {
                &[(0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616)]
            }
            Self::Cifar100 => &[(0.5071, 0.2673), (0.4865, 0.2564), (0.4409, 0.2762)],
        })
    }
}
