//! The subcommands.

pub mod break_law;
pub mod check;
pub mod diff;
pub mod doctor;
pub mod evaluate;
pub mod explain;
pub mod ledger;
#[cfg(feature = "plots")]
pub mod plot;
pub mod predict;
pub mod report;
pub mod summary;
pub mod sweep;
pub mod throughput;
pub mod two_neurons;
pub mod worksheet;
