//! The command as its users run it, and the derivations that it prints.

// The program itself is built without tests.
mod accumulate;
mod colorize;
#[path = "../src/training/control_group.rs"]
mod control_group;
mod derivations;
mod diff;
mod distributed;
mod explain;
mod findings;
mod kills;
mod laws;
mod ledger;
mod lr_find;
mod nets;
mod onnx;
mod out;
mod plots;
mod predict;
#[cfg(feature = "mpi")]
mod processes;
mod programs;
mod recipes;
mod recompute;
mod running;
mod sweep;
mod training;
mod transfer;
mod two_neurons;
