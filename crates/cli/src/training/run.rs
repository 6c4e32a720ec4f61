//! The training loop.

use std::iter;
use std::path::Path;
use std::time::Instant;

use chainrule::data::{Batch, Loader};
use chainrule::nn::Ema;
use chainrule::prelude::*;
use chainrule_distributed::Group;
use serde_json::json;

use super::accumulate::GradientSum;
use super::checkpoints::Checkpoints;
use super::display::{Display, EpochProgress};
use super::distributed::{Processes, Replicas};
use super::epoch_result::{EpochResult, Score};
use super::evaluate::{Evaluation, evaluate};
use super::finite::Finite;
use super::interrupt;
use super::options::Options;
use super::out::{Outcome, Recorder};
use super::program::Program;
use super::recipe::Recipe;
use super::report::Events;
use super::state::{Best, Identity, State, Sums};
use super::step::{Totals, step};
use super::step_trace;
use super::steps::Steps;
use crate::failure::Failure;

/// Steps between two reads of the sums: reading synchronizes a GPU.
const READ_EVERY: u64 = 20;
/// Steps between two copies of the state, from which a step that is not finite is found again: a copy takes about as long
/// as an optimizer step, and after a step that was not finite those since the last copy are run again.
const STEPS_OF_A_COPY: u64 = 100;
const _: () = assert!(STEPS_OF_A_COPY.is_multiple_of(READ_EVERY), "a copy is taken right after a check");

/// A run and its progress.
pub struct Run<'a> {
    pub net: &'a dyn Module,
    pub options: &'a Options,
    pub identity: Identity,
    pub recipe: Recipe,
    pub optimizer: Box<dyn Optimizer>,
    /// The average of the weights, which is tested in their place.
    pub ema: Option<Ema>,
    pub train: Loader,
    pub validation: Option<Loader>,
    pub test: Loader,
    pub classes: Vec<String>,
    pub state: State,
    pub events: Events,
    pub checkpoints: Checkpoints,
    pub display: Box<dyn Display>,
    pub recorder: Option<Recorder>,
    pub steps: Option<Steps>,
    /// The processes, if they are several; the first reports and saves.
    pub processes: &'a Processes,
    /// If batches are computed in shards, by this process or several.
    pub replicas: Option<Replicas>,
}

impl Run<'_> {
    /// Trains until all epochs are done or enough of them bring nothing better, then reports.
    pub fn complete(mut self, program: Program, device: Device) -> Result<(), Failure> {
        self.start(program, device)?;
        let started = Instant::now();
        let mut tested = None;
        let (mut replay, mut totals) = (Replay::new(self.net, device), Totals::new(device));
        while !self.is_finished() {
            tested = Some(self.epoch(&mut replay, &mut totals)?);
        }
        let evaluation = match tested {
            Some(evaluation) => evaluation,
            None => self.evaluate(&self.test.clone())?,
        };
        self.finish(&evaluation, started)
    }

    fn start(&mut self, program: Program, device: Device) -> Result<(), Failure> {
        let (threads, parameters) = (chainrule::tensor::threads(), self.net.parameter_count());
        let sets = [Some(&self.train), self.validation.as_ref(), Some(&self.test)];
        let sets: Vec<String> = sets.into_iter().flatten().map(|set| set.images().len().to_string()).collect();
        self.display.line(&format!(
            "{}: {parameters} parameters, {} images, {device}, {threads} threads{}",
            program.name(),
            sets.join(" + "),
            self.processes.text()
        ));
        let mut event = json!({
            "event": "start", "program": program.name(), "device": device.to_string(), "threads": threads,
            "seed": self.options.seed, "parameters": parameters,
            "processes": self.processes.communicator().size(),
        });
        if self.options.files.resume.is_some() {
            (event["event"], event["step"]) = ("resume".into(), self.state.at.step.into());
        }
        self.events.write(&event)
    }

    /// Whether all epochs are done, or enough of them without a better accuracy.
    fn is_finished(&self) -> bool {
        let epoch = self.state.at.epoch;
        let waited = self.state.best.filter(|_| self.state.at.batch == 0).map(|best| epoch - best.epoch);
        let stop = self.options.test.early_stop.zip(waited).is_some_and(|(limit, waited)| waited >= limit.into());
        stop || epoch >= u64::from(self.options.epochs)
    }

    /// The rest of the current epoch: training, evaluation, report, checkpoint.
    fn epoch(&mut self, replay: &mut Replay<'_>, totals: &mut Totals) -> Result<Evaluation, Failure> {
        let epoch = self.state.at.epoch as u32;
        self.recipe.start_epoch(self.net, epoch.into());
        let train = self.train.clone();
        let (started, mut images) = (Instant::now(), 0);
        let State { at, sums, .. } = &self.state;
        let accumulation = self.recipe.accumulation();
        let (steps, first) = (accumulation.steps(), accumulation.steps_of(at.batch));
        let (epochs, loss) = (self.options.epochs, sums.loss());
        let mut progress =
            EpochProgress { epoch: epoch + 1, epochs, steps, done: first, first, loss, images: 0, started };
        self.display.step(&progress);
        totals.begin(&self.state.sums);
        let mut finite = self.finite();
        // Reading the results is an operation of all processes: which of them records them must make no difference.
        let every_step = self.options.files.out.is_some() && self.replicas.is_some();
        let mut batches = train.epoch_from(epoch, self.state.at.batch as usize);
        let mut sum = GradientSum::default();
        while let Some(batch) = batches.next() {
            if accumulation.begins(batch.index) {
                let at = &self.state.at;
                self.recipe.set_lr(&mut *self.optimizer, at.step, at.plateau.as_ref());
                if self.options.files.trace_step == Some(at.step + 1) {
                    let batches = accumulation.next_step(&mut iter::once(batch).chain(batches));
                    step_trace::write_and_exit(self.net, &batches, &self.recipe, &mut *self.optimizer);
                }
                if let Some(recorder) = &mut self.recorder {
                    let (net, recipe) = (self.net, &self.recipe);
                    Group::alone(|| recorder.before_step(net, at.step, |batch| recipe.loss(net, batch)));
                }
            }
            let of_batch = accumulation.images_of(batch.index) as u64;
            match &mut self.replicas {
                None => step(self.net, &batch, &self.recipe, replay, &mut *self.optimizer, (totals, &mut sum)),
                Some(replicas) => replicas.step(self.net, &batch, &self.recipe, &mut *self.optimizer, &mut sum)?,
            }
            let labels_of_an_image: usize = batch.labels.shape().to_vec()[1..].iter().product();
            self.state.sums.labels += of_batch * labels_of_an_image as u64;
            images += of_batch;
            // The state between the batches of a step is neither reported nor saved.
            if !accumulation.ends(batch.index) {
                continue;
            }
            if let Some(ema) = &mut self.ema {
                ema.update(self.net);
            }
            let mut recorded = self.recorder.as_mut().map_or(Ok(()), Recorder::after_step);
            let State { at, sums, .. } = &mut self.state;
            sums.steps += 1;
            at.step += 1;
            at.batch = batch.index as u64 + 1;
            let done = accumulation.steps_of(at.batch);
            let last = at.batch as usize == train.batches();
            let save_now = !last && self.options.files.save_every.is_some_and(|n| at.step.is_multiple_of(n));
            let due = done.is_multiple_of(READ_EVERY) || last || save_now;
            let mut stop = interrupt::requested();
            if let Some(replicas) = &mut self.replicas {
                // All processes stop at the same step.
                stop = (due || every_step) && replicas.read(sums, &self.recipe, stop)?;
            } else if due || stop || self.steps.is_some() {
                totals.read(sums);
            }
            if let Some(steps) = &mut self.steps {
                recorded = recorded.and_then(|()| steps.record(self.net, at, sums));
            }
            if due || stop {
                progress = EpochProgress { done, loss: sums.loss(), images, ..progress };
                self.display.step(&progress);
                self.check_finite(finite.as_ref())?;
                let State { at, sums, .. } = &self.state;
                if let Some(recorder) = self.recorder.as_mut().filter(|_| last || done.is_multiple_of(READ_EVERY)) {
                    recorded = recorded.and_then(|()| recorder.step(at, sums, self.optimizer.lr()));
                }
            }
            if let Err(failure) = recorded {
                if self.replicas.is_none() {
                    totals.read(&mut self.state.sums);
                }
                self.check_finite(finite.as_ref())?;
                self.save()?;
                return Err(self.with_left(failure));
            }
            if save_now || stop {
                self.save()?;
            }
            if stop {
                // The first process saves, which the end of another would interrupt.
                self.processes.communicator().barrier()?;
                return Err(self.interrupted());
            }
            if done.is_multiple_of(STEPS_OF_A_COPY) && !last {
                // The old copy goes first, so that there is only one at a time.
                drop(finite.take());
                finite = self.finite();
            }
        }
        self.end_epoch(started.elapsed().as_secs_f64(), progress.images)
    }

    /// Evaluates, reports and saves after the last step of an epoch, in which `images` were trained on in so many seconds.
    fn end_epoch(&mut self, seconds: f64, images: u64) -> Result<Evaluation, Failure> {
        let validation = self.validation.clone().map(|images| self.evaluate(&images)).transpose()?;
        let test = self.evaluate(&self.test.clone())?;
        let State { at, sums, best } = &mut self.state;
        let score = |found: &Evaluation| Score { loss: found.loss, accuracy: found.confusion.accuracy() };
        let result = EpochResult {
            epoch: at.epoch + 1,
            train: Score { loss: sums.loss(), accuracy: sums.accuracy() },
            validation: validation.as_ref().map(score),
            test: score(&test),
            seconds,
            images_per_second: images as f64 / seconds,
        };
        let Score { loss, accuracy } = result.validation.unwrap_or(result.test);
        if let Some(plateau) = &mut at.plateau {
            plateau.step(loss);
        }
        let is_best = best.is_none_or(|best| accuracy > best.accuracy);
        if is_best {
            *best = Some(Best { accuracy, epoch: result.epoch });
        }
        let recorded = self.recorder.as_mut().map_or(Ok(()), |recorder| {
            // The feature maps are those of the net that was evaluated.
            let _averaged = self.ema.as_ref().map(|ema| ema.averaged(self.net));
            recorder.epoch(at.step, &result, (&test.confusion, &test.answers), self.net, &self.test)
        });
        (*sums, at.epoch, at.batch) = (Sums::default(), result.epoch, 0);
        let step = at.step;
        self.display.epoch(&result);
        self.events.write(&result.event())?;
        let write = writer(&self.identity, self.net, &*self.optimizer, self.ema.as_ref(), &self.state);
        self.checkpoints.save_epoch(result.epoch, step, is_best, write)?;
        recorded.map_err(|failure| self.with_left(failure))?;
        Ok(test)
    }

    /// A copy of the state, unless the run goes on when it is not finite.
    fn finite(&self) -> Option<Finite> {
        let explains = !self.options.allow_nan && self.replicas.is_none();
        explains.then(|| Finite::take(self.net, &*self.optimizer, &self.state.at))
    }

    /// Checks that all steps since the copy were finite. If one was not, the file of the last checkpoint stays as it is.
    fn check_finite(&mut self, finite: Option<&Finite>) -> Result<(), Failure> {
        if self.options.allow_nan || (self.state.sums.loss.is_finite() && self.optimizer.is_finite()) {
            return Ok(());
        }
        let step = self.state.at.step;
        let what = if let Some(replicas) = &self.replicas {
            format!(
                "step {step} or one shortly before it is not finite (epoch {}, {})\n  to see which operation it is, go on without --distributed and --shards",
                self.state.at.epoch + 1,
                replicas.not_finite()
            )
        } else {
            let finite = finite.expect("a copy is taken at the start of an epoch");
            finite.explain(self.net, &self.recipe, &mut *self.optimizer, &self.train, step)
        };
        self.events.write(&json!({"event": "failed", "step": step}))?;
        // The failure of the step is the one to report.
        let _ = self.recorder.as_ref().map(Recorder::render);
        let left = self.checkpoints.left();
        Err(Failure::Run(format!("{what}\n  {left}; try a smaller --lr, or go on all the same with --allow-nan")))
    }

    /// Saves a checkpoint, if `--save` is given.
    fn save(&mut self) -> Result<(), Failure> {
        let write = writer(&self.identity, self.net, &*self.optimizer, self.ema.as_ref(), &self.state);
        self.checkpoints.save(self.state.at.step, write)
    }

    /// A failure to write records, and where the run is saved.
    fn with_left(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Run(text) => Failure::Run(format!("{text}\n  {}", self.checkpoints.left())),
            other => other,
        }
    }

    /// What to say of an interrupted run.
    fn interrupted(&mut self) -> Failure {
        let at = &self.state.at;
        if let Err(failure) = self.events.write(&json!({"event": "interrupted", "step": at.step})) {
            return failure;
        }
        if let Some(failure) = self.recorder.as_ref().and_then(|recorder| recorder.render().err()) {
            return self.with_left(failure);
        }
        let place = format!("epoch {}, batch {} of {}", at.epoch + 1, at.batch, self.train.batches());
        let next = match self.checkpoints.last() {
            None => "nothing was saved; with --save FILE the run could go on".to_owned(),
            Some(path) => format!("saved; to go on:\n  {}", interrupt::command_to_resume(path)),
        };
        Failure::Interrupted(format!("interrupted after {place}: {next}"))
    }

    /// Evaluates the net. If the user interrupts, the run is saved.
    fn evaluate(&mut self, images: &Loader) -> Result<Evaluation, Failure> {
        let views = self.options.test.test_views;
        // Gone before anything is saved: the net has its own weights again.
        let averaged = self.ema.as_ref().map(|ema| ema.averaged(self.net));
        let communicator = &**self.processes.communicator();
        let together = (communicator, interrupt::requested);
        let evaluated = evaluate(self.net, self.recipe.objective(), images, views, &self.classes, together);
        drop(averaged);
        if let Some(evaluation) = evaluated? {
            return Ok(evaluation);
        }
        self.save()?;
        Err(self.interrupted())
    }

    fn finish(mut self, Evaluation { confusion, answers, .. }: &Evaluation, started: Instant) -> Result<(), Failure> {
        self.display.close();
        if !self.processes.is_first() {
            return Ok(());
        }
        confusion.print();
        let (sha256, seconds) = (weights_sha256(self.net), started.elapsed().as_secs_f64());
        if let (Some(path), Some(Best { accuracy, epoch })) = (self.checkpoints.best(), self.state.best) {
            let set = if self.validation.is_some() { "validation" } else { "test" };
            println!("\nbest epoch {epoch}: {set} accuracy {:.2} %, in {}", 100.0 * accuracy, path.display());
        }
        println!("\ntest accuracy {:.2} %, {seconds:.1} s\nweights sha256 {sha256}", 100.0 * confusion.accuracy());
        self.events.write(&json!({
            "event": "result", "test_accuracy": confusion.accuracy(), "per_class": confusion.per_class(),
            "weights_sha256": sha256, "seconds": seconds,
        }))?;
        let Some(recorder) = self.recorder.take() else { return Ok(()) };
        let outcome = Outcome {
            step: self.state.at.step,
            test_accuracy: confusion.accuracy(),
            per_class: confusion.per_class(),
            weights_sha256: sha256,
            seconds: recorder.seconds(),
        };
        let (net, recipe) = (self.net, &self.recipe);
        let forward = |batch: &Batch| {
            recipe.set_training(net);
            recipe.loss(net, batch)
        };
        let finished = Group::alone(|| recorder.finish(&outcome, answers, net, forward));
        finished.map_err(|failure| self.with_left(failure))
    }
}

/// What writes the state of a run to a file.
fn writer<'a>(
    identity: &'a Identity,
    net: &'a dyn Module,
    optimizer: &'a dyn Optimizer,
    ema: Option<&'a Ema>,
    state: &'a State,
) -> impl Fn(&Path) -> Result<(), Failure> + 'a {
    move |path| identity.save(path, net, optimizer, ema, state)
}
