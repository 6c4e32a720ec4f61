//! The command as its users run it, and the derivations that it prints.

mod derivations;
mod explain;
mod laws;
mod ledger;
mod plots;
mod programs;
mod training;
mod two_neurons;
