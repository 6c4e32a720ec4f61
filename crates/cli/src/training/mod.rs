//! Shared by the subcommands that train: flags, training loop, output.

mod accumulate;
pub mod augment;
mod checkpoints;
mod control_group;
#[cfg(feature = "tui")]
mod dashboard;
mod data;
mod display;
pub mod distributed;
mod epoch_result;
pub mod evaluate;
mod features;
mod finite;
pub mod interrupt;
mod lr_find;
pub mod memory;
pub mod net;
mod objective;
pub mod options;
pub mod out;
pub mod presets;
pub mod program;
mod recipe;
pub mod report;
mod run;
mod run_memory;
pub mod saved;
pub mod settings;
mod state;
mod step;
pub mod step_trace;
pub mod steps;
pub mod train;
mod transfer;
pub mod views;
