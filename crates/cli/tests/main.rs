//! The command as its users run it, and the derivations that it prints.

mod explain;
mod laws;
mod plots;
mod programs;
mod training;
mod two_neurons;
