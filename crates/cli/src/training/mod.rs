//! What the subcommands that train share: their flags, their loop, their reports.

pub mod options;
pub mod report;
pub mod small_cnn;
pub mod train;
