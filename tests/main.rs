//! Tests that need more than one crate, in one program: it links once.

mod checkpoints;
mod gpu_programs;
mod ops_against_pytorch;
mod optimizers;
#[path = "../crates/cli/tests/training/mod.rs"]
mod training;
