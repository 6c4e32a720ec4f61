//! Tests across crates, in one program so that it is linked once.

mod against_pytorch;
mod array_ops_against_pytorch;
mod averages;
#[cfg(target_os = "linux")]
mod benchmark_script;
mod checkpoints;
mod functions;
mod gpu_programs;
#[cfg(target_os = "linux")]
mod gpu_scripts;
mod inspect_nets;
mod lessons;
mod modules_against_pytorch;
mod mutations;
#[path = "../crates/data/tests/mutator/mod.rs"]
mod mutator;
mod names;
mod ops_against_pytorch;
mod optimizers;
#[path = "../crates/cli/tests/training/mod.rs"]
mod training;
