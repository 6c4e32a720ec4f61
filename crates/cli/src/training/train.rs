//! The training loop.

use std::time::Instant;

use chainrule::data::{Batch, Dataset, Loader, Transform};
use chainrule::prelude::*;
use serde_json::json;

use super::finite::Finite;
use super::options::Options;
use super::recipe::Recipe;
use super::report::{Confusion, Events, Progress as Bar};
use super::state::{Identity, Sums};
use super::{interrupt, memory};
use crate::failure::Failure;

/// A net and its dataset.
pub struct Task<'a> {
    /// Name of the subcommand.
    pub program: &'a str,
    /// The net, from images (N,C,H,W) to logits (N, classes).
    pub net: &'a dyn Module,
    /// The images.
    pub dataset: Dataset,
    /// Augmentation of the training images.
    pub augment: Vec<Box<dyn Transform>>,
    /// Flags that a resumed run must share with the saved one, in addition to those of [`Options`].
    pub settings: Vec<(&'static str, String)>,
}

/// Trains, reports, saves.
pub fn train(task: Task<'_>, options: &Options, device: Device) -> Result<(), Failure> {
    let Task { program, net, dataset, augment, mut settings } = task;
    settings.extend(options.settings());
    for note in dataset.notes() {
        println!("note: {note}");
    }
    let classes = dataset.train().classes().to_vec();
    check_net(net, dataset.train().shape(), classes.len())?;
    if let Some(path) = &options.save {
        Checkpoint::check_target(path)?;
    }
    let (train, test) = dataset.into_parts();
    let train = Loader::new(train, options.batch_size as usize).shuffle(options.seed).transforms(augment).prefetch(1);
    let (train, test) = (train.device(device), Loader::new(test, EVALUATED).prefetch(1).device(device));
    let recipe = Recipe::new(options, train.batches())?;
    let identity = Identity::new(settings, options.compute.arithmetic(device), train.images());
    net.to(device);
    let mut optimizer = options.optimizer(net.parameters());
    if device == Device::Cpu {
        let sizes = [(options.batch_size as usize).min(train.images().len()), EVALUATED.min(test.images().len())];
        memory::check_run(net, &recipe, &mut *optimizer, options, train.images().image_shape(), sizes)?;
    }
    let (mut at, mut sums) = (Progress { seed: options.seed, ..Progress::default() }, Sums::default());
    if let Some(path) = &options.resume {
        (at, sums) = identity.resume(path, net, &mut *optimizer)?;
        if !sums.loss.is_finite() && !options.allow_nan {
            return Err(Failure::Run(format!(
                "{} was saved after a step that was not finite; use an earlier checkpoint, or go on with --allow-nan",
                path.display()
            )));
        }
    }
    let events = Events::open(options.json.as_deref(), options.resume.as_ref().map(|_| at.epoch))?;
    let mut run =
        Run { net, options, identity, recipe, optimizer, train, test, classes, at, sums, events, saved: None };
    interrupt::watch()?;
    run.start(program, device)?;

    let started = Instant::now();
    let mut tested = None;
    let (mut replay, mut totals) = (Replay::new(net, device), Totals::new(device));
    while run.at.epoch < u64::from(options.epochs) {
        tested = Some(run.epoch(&mut replay, &mut totals)?);
    }
    let confusion = match tested {
        Some(confusion) => confusion,
        None => run.evaluate()?.1,
    };
    run.finish(&confusion, started)
}

/// Images in a batch of the evaluation.
const EVALUATED: usize = 250;
/// Steps between two copies of the state, from which a step that is not finite is found again: a copy takes about as long
/// as an optimizer step, and after a step that was not finite those since the last copy are run again.
const STEPS_OF_A_COPY: u64 = 100;
const _: () = assert!(STEPS_OF_A_COPY.is_multiple_of(READ_EVERY), "a copy is taken right after a check");

/// A run and its progress.
struct Run<'a> {
    net: &'a dyn Module,
    options: &'a Options,
    identity: Identity,
    recipe: Recipe,
    optimizer: Box<dyn Optimizer>,
    train: Loader,
    test: Loader,
    classes: Vec<String>,
    at: Progress,
    sums: Sums,
    events: Events,
    /// The step after which the run was last saved.
    saved: Option<u64>,
}

impl Run<'_> {
    fn start(&mut self, program: &str, device: Device) -> Result<(), Failure> {
        let (threads, parameters) = (chainrule::tensor::threads(), self.net.parameter_count());
        println!(
            "{program}: {parameters} parameters, {} + {} images, {device}, {threads} threads",
            self.train.images().len(),
            self.test.images().len()
        );
        let mut event = json!({
            "event": "start", "program": program, "device": device.to_string(), "threads": threads,
            "seed": self.options.seed, "parameters": parameters,
        });
        if self.options.resume.is_some() {
            (event["event"], event["step"]) = ("resume".into(), self.at.step.into());
        }
        self.events.write(&event)
    }

    /// The rest of the current epoch: training, evaluation, report, checkpoint.
    fn epoch(&mut self, replay: &mut Replay<'_>, totals: &mut Totals) -> Result<Confusion, Failure> {
        self.net.train();
        let epoch = self.at.epoch as u32;
        let train = self.train.clone();
        let bar = Bar::new(epoch + 1, self.options.epochs, train.batches() as u64, self.at.batch);
        let (begun, seen) = (Instant::now(), self.sums.images);
        totals.begin(&self.sums);
        let mut finite = self.finite();
        for batch in train.epoch_from(epoch, self.at.batch as usize) {
            self.recipe.set_lr(&mut *self.optimizer, self.at.step);
            step(self.net, &batch, &self.recipe, replay, &mut *self.optimizer, totals);
            self.sums.batches += 1;
            self.sums.images += batch.labels.numel() as u64;
            self.at.step += 1;
            self.at.batch = batch.index as u64 + 1;
            let last = self.at.batch as usize == train.batches();
            let save_now = !last && self.options.save_every.is_some_and(|n| self.at.step.is_multiple_of(n));
            let stop = interrupt::requested();
            if self.at.batch.is_multiple_of(READ_EVERY) || last || save_now || stop {
                totals.read(&mut self.sums);
                self.check_finite(finite.as_ref(), &bar)?;
                bar.step(self.at.batch, self.sums.loss(), self.sums.images - seen);
            }
            if save_now || stop {
                self.save()?;
            }
            if stop {
                bar.clear();
                return Err(self.interrupted());
            }
            if self.at.batch.is_multiple_of(STEPS_OF_A_COPY) && !last {
                // The old copy goes first, so that there is only one at a time.
                drop(finite.take());
                finite = self.finite();
            }
        }
        bar.clear();
        let seconds = begun.elapsed().as_secs_f64();
        let rate = (self.sums.images - seen) as f64 / seconds;
        let (test_loss, confusion) = self.evaluate()?;
        println!(
            "epoch {:>2}: train loss {:.4}, accuracy {:.2} %; test loss {test_loss:.4}, accuracy {:.2} %; {seconds:.1} s, {rate:.0} images/s",
            epoch + 1,
            self.sums.loss(),
            100.0 * self.sums.accuracy(),
            100.0 * confusion.accuracy()
        );
        self.events.write(&json!({
            "event": "epoch", "epoch": epoch + 1,
            "train_loss": self.sums.loss(), "train_accuracy": self.sums.accuracy(),
            "test_loss": test_loss, "test_accuracy": confusion.accuracy(),
            "seconds": seconds, "images_per_second": rate,
        }))?;
        (self.sums, self.at.epoch, self.at.batch) = (Sums::default(), self.at.epoch + 1, 0);
        self.save()?;
        Ok(confusion)
    }

    /// A copy of the state, unless the run goes on when it is not finite.
    fn finite(&self) -> Option<Finite> {
        (!self.options.allow_nan).then(|| Finite::take(self.net, &*self.optimizer, &self.at))
    }

    /// Checks that all steps since the copy were finite. If one was not, the file of the last checkpoint stays as it is.
    fn check_finite(&mut self, finite: Option<&Finite>, bar: &Bar) -> Result<(), Failure> {
        let Some(finite) = finite else { return Ok(()) };
        if self.sums.loss.is_finite() && self.optimizer.is_finite() {
            return Ok(());
        }
        bar.clear();
        let what = finite.explain(self.net, &self.recipe, &mut *self.optimizer, &self.train, self.at.step);
        let saved = match (&self.options.save, self.saved) {
            (Some(path), Some(step)) => format!("{} has the state after step {step}", path.display()),
            (Some(path), None) => format!("this run has not written {}", path.display()),
            (None, _) => "nothing was saved".to_owned(),
        };
        self.events.write(&json!({"event": "failed", "step": self.at.step}))?;
        Err(Failure::Run(format!("{what}\n  {saved}; try a smaller --lr, or go on all the same with --allow-nan")))
    }

    /// Saves a checkpoint, if `--save` is given.
    fn save(&mut self) -> Result<(), Failure> {
        let Some(path) = &self.options.save else { return Ok(()) };
        self.identity.save(path, self.net, &*self.optimizer, &self.at, &self.sums)?;
        self.saved = Some(self.at.step);
        Ok(())
    }

    /// What to say of an interrupted run.
    fn interrupted(&mut self) -> Failure {
        if let Err(failure) = self.events.write(&json!({"event": "interrupted", "step": self.at.step})) {
            return failure;
        }
        let place = format!("epoch {}, batch {} of {}", self.at.epoch + 1, self.at.batch, self.train.batches());
        let next = match &self.options.save {
            None => "nothing was saved; with --save FILE the run could go on".to_owned(),
            Some(path) => format!("saved; to go on:\n  {}", interrupt::command_to_resume(path)),
        };
        Failure::Interrupted(format!("interrupted after {place}: {next}"))
    }

    /// The mean loss over the test images, and their confusion matrix.
    fn evaluate(&mut self) -> Result<(f64, Confusion), Failure> {
        self.net.eval();
        let mut confusion = Confusion::new(&self.classes);
        let mut sum = 0.0;
        for batch in self.test.clone().epoch(0) {
            let logits = no_grad(|| self.net.forward(&Var::constant(&batch.images)));
            let loss = logits.cross_entropy(&batch.labels);
            sum += f64::from(loss.item()) * batch.labels.numel() as f64;
            confusion.add(&batch.labels.to_vec(), &logits.value().argmax(1).to_vec());
            if interrupt::requested() {
                self.save()?;
                return Err(self.interrupted());
            }
        }
        Ok((sum / self.test.images().len() as f64, confusion))
    }

    fn finish(mut self, confusion: &Confusion, started: Instant) -> Result<(), Failure> {
        confusion.print();
        let (sha256, seconds) = (weights_sha256(self.net), started.elapsed().as_secs_f64());
        println!("\ntest accuracy {:.2} %, {seconds:.1} s\nweights sha256 {sha256}", 100.0 * confusion.accuracy());
        self.events.write(&json!({
            "event": "result", "test_accuracy": confusion.accuracy(), "per_class": confusion.per_class(),
            "weights_sha256": sha256, "seconds": seconds,
        }))
    }
}

/// Steps between two reads of the sums: reading synchronizes a GPU.
const READ_EVERY: u64 = 20;

/// The sums of the losses and of the correctly classified images, on the device of the net: no step synchronizes to
/// report its loss.
struct Totals([TensorOf<f64>; 2]);

impl Totals {
    fn new(device: Device) -> Self {
        Self([(); 2].map(|()| TensorOf::full_on(device, (), 0.0)))
    }

    /// Starts from the sums of a partly completed epoch.
    fn begin(&mut self, sums: &Sums) {
        self.0[0].fill(sums.loss);
        self.0[1].fill(sums.correct as f64);
    }

    fn read(&self, sums: &mut Sums) {
        (sums.loss, sums.correct) = (self.0[0].item(), self.0[1].item() as u64);
    }
}

/// One step of training: forward, backward, update.
fn step(
    net: &dyn Module,
    batch: &Batch,
    recipe: &Recipe,
    replay: &mut Replay<'_>,
    optimizer: &mut dyn Optimizer,
    totals: &mut Totals,
) {
    replay.run(&batch.images, &batch.labels, optimizer, &mut totals.0, |step| {
        let (loss, logits) = recipe.loss(net, step.inputs, step.labels);
        recipe.update(step.optimizer, loss.backward());
        step.totals[0].add_assign(&loss.value().to_f64());
        step.totals[1].add_assign(&logits.hits(step.labels));
    });
}

/// Checks the shapes of the net for these images before computing anything.
fn check_net(net: &dyn Module, images: [usize; 4], classes: usize) -> Result<(), Failure> {
    let [_, c, h, w] = images;
    // Two, because batch normalization in training needs more than one element of each channel.
    let out = net
        .output_shape(Shape::from([2, c, h, w]))
        .map_err(|error| Failure::Usage(format!("the net does not accept images of {c}×{h}×{w}\n{error}")))?;
    if out == [2, classes] {
        return Ok(());
    }
    Err(Failure::Usage(format!("the output of the net is {out} for two images, but the dataset has {classes} classes")))
}
