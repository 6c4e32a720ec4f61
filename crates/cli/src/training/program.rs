//! The subcommands that train: their datasets, and what these need.

use std::path::Path;

use chainrule::data::{DataError, Dataset, Normalize, cifar10, cifar100, fashion_mnist, mnist};

use super::report;

/// A subcommand that trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Mnist,
    FashionMnist,
    Cifar10,
    Cifar100,
    Pretrain,
    Transfer,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Mnist, Self::FashionMnist, Self::Cifar10, Self::Cifar100, Self::Pretrain, Self::Transfer];

    /// The name of the subcommand.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::Pretrain => "pretrain",
            Self::Transfer => "transfer",
        }
    }

    /// The subcommand of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|program| program.name() == name)
    }

    /// Whether its images are those of CIFAR-10.
    pub fn is_cifar10(self) -> bool {
        matches!(self, Self::Cifar10 | Self::Pretrain | Self::Transfer)
    }

    /// The dataset: from a directory, embedded, downloaded earlier, or downloaded now.
    pub fn dataset(self, directory: Option<&Path>, offline: bool) -> Result<Dataset, DataError> {
        let progress = &mut report::download;
        match self {
            Self::Mnist => mnist::load(directory, offline, progress),
            Self::FashionMnist => fashion_mnist::load(directory, offline, progress),
            Self::Cifar10 | Self::Transfer => cifar10::load(directory, offline, progress),
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
            Self::Cifar10 | Self::Pretrain | Self::Transfer => &[(0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616)],
            Self::Cifar100 => &[(0.5071, 0.2673), (0.4865, 0.2564), (0.4409, 0.2762)],
        })
    }
}
