//! The net of a checkpoint, built again from the settings that were saved with it.

use std::path::Path;

use chainrule::prelude::*;
use clap::FromArgMatches as _;

use super::memory::Limit;
use super::objective::Objective;
use super::options::Options;
use super::program::Program;
use super::settings::Settings;
use super::state::{classes, image};
use crate::failure::Failure;

/// A net with its weights, or their average where the run has one, and what is needed to use it.
pub struct SavedNet {
    pub net: Box<dyn Module>,
    pub program: Program,
    /// The options of the run that determine its result; all others have their defaults.
    pub options: Options,
    pub objective: Objective,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// The shape (C, H, W) of an image.
    pub image: [usize; 3],
    /// Completed epochs.
    pub epoch: u64,
}

impl SavedNet {
    /// Loads a checkpoint that `--save` of a training command has written.
    ///
    /// # Errors
    /// If the file cannot be read, is no such checkpoint, or was written by a version of this program with other flags.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let checkpoint = Checkpoint::load(path)?;
        let progress = checkpoint.progress();
        let settings = Settings::saved(path, &progress.settings)?;
        let wrong = |what: String| {
            Failure::Input(format!("{} is not a checkpoint of this version of the program: {what}", path.display()))
        };
        let program = Program::named(settings.program())
            .ok_or_else(|| wrong(format!("it has no command `{}`", settings.program())))?;
        let options = Options::parser(program)
            .try_get_matches_from(settings.arguments())
            .and_then(|matches| Options::from_arg_matches(&matches))
            .map_err(|error| wrong(error.to_string().lines().next().unwrap_or_default().to_owned()))?;
        let (classes, image) = classes(&progress.settings)
            .zip(image(&progress.settings))
            .ok_or_else(|| wrong("it does not have the classes and the shape of the images".into()))?;
        let objective = options.recipe.objective(classes.len())?;
        let net = options.net.build(image, objective.outputs(), options.seed, Limit(None))?;
        load_weights(&*net, path)?;
        if let Some(mut ema) = options.recipe.ema(&*net) {
            checkpoint.restore_average(&mut ema)?;
            ema.copy_to(&*net);
        }
        net.eval();
        Ok(Self { net, program, options, objective, classes, image, epoch: progress.epoch })
    }
}
