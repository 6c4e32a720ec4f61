//! Makes the report of a run again, from its records.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::training::out::render;

/// Makes report.html, plots, pictures and TensorBoard files from the records that a run left by --out
#[derive(Args)]
pub struct Arguments {
    /// The directory that the run had as --out; the run may still be going on, or have been killed
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub fn run(Arguments { directory }: &Arguments) -> Result<(), Failure> {
    render::all(directory)
}
