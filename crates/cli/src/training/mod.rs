//! Shared by the subcommands that train: flags, training loop, output.

pub mod options;
pub mod report;
pub mod small_cnn;
pub mod train;
