//! Shared by the subcommands that train: flags, training loop, output.

mod control_group;
mod finite;
mod interrupt;
pub mod memory;
pub mod options;
mod recipe;
pub mod report;
pub mod small_cnn;
mod state;
pub mod train;
