//! The subcommands.

pub mod break_law;
pub mod check;
pub mod cifar10;
pub mod doctor;
pub mod explain;
pub mod ledger;
pub mod mnist;
#[cfg(feature = "plots")]
pub mod plot;
pub mod summary;
pub mod throughput;
pub mod two_neurons;
pub mod worksheet;
