//! The records of a run, while it trains.

use std::path::{Path, PathBuf};
use std::time::Instant;

use chainrule::data::{Batch, Loader};
use chainrule::prelude::*;

use super::answers::Answers;
use super::files::{self, Lines};
use super::probe::Prober;
use super::records::{Config, EpochRow, Metric, Outcome, Predictions, Probe, Score, StepRow};
use super::{colorized, examples, render};
use crate::failure::Failure;
use crate::training::epoch_result::{self, EpochResult};
use crate::training::report::Confusion;
use crate::training::state::Sums;

/// The records of a run that trains.
pub struct Recorder {
    folder: PathBuf,
    config: Config,
    metrics: Lines,
    probes: Lines,
    predictions: Lines,
    /// The predictions of all epochs.
    history: Vec<Predictions>,
    /// The row before.
    last: Option<StepRow>,
    prober: Prober,
    /// The temperature of annealed means.
    temperature: f64,
    last_probe: Option<u64>,
    started: Instant,
    /// The time of the run before it was resumed.
    before: f64,
}

impl Recorder {
    /// Begins the records of a run, or goes on with those of the run that was saved at this progress: what is run again is
    /// removed from them. `batch` is the one that is measured during the run.
    ///
    /// # Errors
    /// If a file cannot be written, or the folder has the records of a run with other flags.
    pub fn open(
        folder: &Path,
        config: Config,
        net: &dyn Module,
        batch: &Batch,
        temperature: f64,
        at: &Progress,
    ) -> Result<Self, Failure> {
        let path = |name: &str| folder.join(name);
        if at.step > 0 {
            check_config(folder, &config)?;
        }
        for stale in [files::RESULT, render::REPORT].into_iter().chain((at.step == 0).then_some(files::EXAMPLES)) {
            files::remove(&path(stale))?;
        }
        files::write_json(&path(files::CONFIG), &config)?;
        let is_done = |epoch: u64, step: u64| epoch <= at.epoch && step <= at.step;
        let (metrics, rows) = Lines::open(path(files::METRICS), |metric: &Metric| match metric {
            Metric::Step(row) => row.step <= at.step,
            Metric::Epoch(row) => is_done(row.epoch, row.step),
        })?;
        // The step after a probe is part of it.
        let (probes, measured) = Lines::open(path(files::PROBES), |probe: &Probe| probe.step < at.step)?;
        let (predictions, history) =
            Lines::open(path(files::PREDICTIONS), |row: &Predictions| is_done(row.epoch, row.step))?;
        let last = rows.iter().rev().find_map(|row| if let Metric::Step(row) = row { Some(row.clone()) } else { None });
        let before = rows.last().map_or(0.0, Metric::seconds);
        Ok(Self {
            folder: folder.to_owned(),
            metrics,
            probes,
            predictions,
            history,
            last: last.filter(|row| row.epoch == at.epoch + 1),
            prober: Prober::new(net, batch, config.steps),
            temperature,
            last_probe: measured.last().map(|probe| probe.step),
            config,
            started: Instant::now(),
            before,
        })
    }

    /// The time of the run so far.
    pub fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    /// Before a step: measures the net, if it is time to. `forward` gives the loss and the logits of a batch.
    pub fn before_step(&mut self, net: &dyn Module, step: u64, forward: impl FnOnce(&Batch) -> (Var, Var)) {
        if self.prober.is_due(step) {
            self.prober.begin(net, step, forward);
        }
    }

    /// After a step: completes the measurement that was begun before it.
    pub fn after_step(&mut self) -> Result<(), Failure> {
        let Some(probe) = self.prober.finish() else { return Ok(()) };
        self.last_probe = Some(probe.step);
        self.probes.write(&probe)
    }

    /// Adds a row: the run has come to `at` in the epoch whose sums are given.
    pub fn step(&mut self, at: &Progress, sums: &Sums, lr: f64) -> Result<(), Failure> {
        let epoch = at.epoch + 1;
        let before = self.last.take().filter(|row| row.epoch == epoch);
        // From the row and not from the sums of then, which a resumed run does not know.
        let steps = before.as_ref().map_or(sums.steps, |row| at.step - row.step);
        let loss = before.as_ref().map_or(0.0, |row| row.epoch_loss * (sums.steps - steps) as f64);
        let (images, right) =
            before.as_ref().map_or((0, 0.0), |row| (row.images, (row.epoch_accuracy * row.images as f64).round()));
        let row = StepRow {
            step: at.step,
            epoch,
            batch: at.batch,
            images: sums.labels,
            loss: (sums.loss - loss) / steps.max(1) as f64,
            accuracy: (sums.correct as f64 - right) / (sums.labels - images).max(1) as f64,
            epoch_loss: sums.loss(),
            epoch_accuracy: sums.accuracy(),
            lr,
            seconds: self.seconds(),
        };
        self.last = Some(row.clone());
        self.metrics.write(&Metric::Step(row))
    }

    /// Adds an epoch with the evaluation of the test images after it, and renders the report, so that it can be looked at during the run.
    pub fn epoch(
        &mut self,
        step: u64,
        result: &EpochResult,
        (confusion, answers): (&Confusion, &Answers),
        net: &dyn Module,
        test: &Loader,
    ) -> Result<(), Failure> {
        let row = EpochRow {
            epoch: result.epoch,
            step,
            train: result.train.into(),
            validation: result.validation.map(Score::from),
            test: result.test.into(),
            images_per_second: result.images_per_second,
            seconds: self.seconds(),
        };
        let (confusion, predicted) = (confusion.counts().to_vec(), answers.predicted());
        let predictions = Predictions { epoch: row.epoch, step: row.step, confusion, predicted };
        self.predictions.write(&predictions)?;
        self.history.push(predictions);
        self.metrics.write(&Metric::Epoch(row))?;
        match answers {
            Answers::Images(answers) => examples::save(&self.folder, net, test, answers, &self.history)?,
            Answers::Pixels(answers) => colorized::save(&self.folder, net, test, answers, self.temperature)?,
        }
        self.render()
    }

    /// Makes the report of what there is.
    pub fn render(&self) -> Result<(), Failure> {
        render::report(&self.folder)
    }

    /// Ends the records, and makes everything from them. `forward` is that of training.
    pub fn finish(
        mut self,
        outcome: &Outcome,
        answers: &Answers,
        net: &dyn Module,
        forward: impl FnOnce(&Batch) -> (Var, Var),
    ) -> Result<(), Failure> {
        if self.last_probe != Some(outcome.step) {
            let probe = self.prober.last(net, outcome.step, forward);
            net.eval();
            self.probes.write(&probe)?;
        }
        files::write(&self.folder.join("predictions.csv"), &answers.csv(&self.config.data.classes)?)?;
        files::write_json(&self.folder.join(files::RESULT), outcome)?;
        render::all(&self.folder)
    }
}

impl From<epoch_result::Score> for Score {
    fn from(epoch_result::Score { loss, accuracy }: epoch_result::Score) -> Self {
        Self { loss, accuracy }
    }
}

/// A resumed run must have the flags of the run whose records it goes on with.
fn check_config(folder: &Path, config: &Config) -> Result<(), Failure> {
    let Some(text) = files::read(&folder.join(files::CONFIG))? else { return Ok(()) };
    // A damaged file is written anew.
    let Ok(before) = serde_json::from_slice::<Config>(&text) else { return Ok(()) };
    if (&before.program, &before.settings, &before.data) == (&config.program, &config.settings, &config.data) {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "--out {}: it has the records of another run ({}); give the directory of the run that is resumed, or a new one",
        folder.display(),
        before.command.join(" ")
    )))
}
