//! What a run says about itself before it begins.

use std::time::SystemTime;

use chainrule::data::{Images, Loader};
use chainrule::nn::Summary;
use chainrule::prelude::*;

use super::records::{Config, Data, Machine, Net, Operation};
use crate::training::program::Labeled;

/// The parts of a run that its records describe.
pub struct Run<'a> {
    /// The name of the subcommand.
    pub program: &'a str,
    /// The flags that determine the result.
    pub settings: Vec<(String, String)>,
    pub net: &'a dyn Module,
    /// The name of the dataset.
    pub data: &'a str,
    pub labeled: Labeled,
    /// The names of what labels stand for.
    pub classes: &'a [String],
    pub train: &'a Loader,
    pub test: &'a Images,
    pub epochs: u32,
    /// The steps of all epochs.
    pub steps: u64,
    pub device: Device,
    /// Device, precision and vector instructions.
    pub arithmetic: String,
}

impl Config {
    /// The description of a run on this machine, now.
    pub fn of(run: Run<'_>) -> Self {
        let train = run.train.images();
        let input = run.train.image_shape();
        let [c, h, w] = input;
        // A net that does not accept the images was refused before.
        let operations = Summary::of(run.net, [1, c, h, w]).map_or_else(|_| Vec::new(), |summary| summary.rows);
        let operations = operations.into_iter().map(|row| Operation {
            layer: row.path,
            operation: row.operation,
            output: row.output.iter().copied().collect(),
            parameters: row.parameters,
            multiply_adds: row.multiply_adds,
        });
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut command: Vec<String> = std::env::args().collect();
        if let Some(program) = command.first_mut() {
            // Without its directory, so that the command can be given elsewhere.
            "chainrule".clone_into(program);
        }
        Self {
            program: run.program.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            command,
            settings: run.settings,
            epochs: run.epochs,
            steps: run.steps,
            data: Data {
                name: run.data.into(),
                training_images: train.len(),
                test_images: run.test.len(),
                image: train.image_shape(),
                classes: run.classes.to_vec(),
                labeled: run.labeled,
            },
            net: Net { input: Some(input), parameters: run.net.parameter_count(), operations: operations.collect() },
            machine: Machine {
                device: run.device.to_string(),
                arithmetic: run.arithmetic,
                threads: chainrule::tensor::threads(),
                system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
                started: started.map_or(0, |since| since.as_secs()),
            },
        }
    }
}
