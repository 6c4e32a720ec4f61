//! The subcommands: for each its arguments, and what it does with them.

pub mod cifar10;
pub mod doctor;
pub mod mnist;
pub mod throughput;
pub mod two_neurons;
