//! Tests of export and import.

mod documentation;
mod exports;
mod files;
mod hostile;
#[path = "../../data/tests/mutator/mod.rs"]
mod mutator;
mod nets;
mod operations;
#[path = "../../data/tests/peak/mod.rs"]
mod peak;
mod round_trips;
