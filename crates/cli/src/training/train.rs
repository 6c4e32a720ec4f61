//! The training loop.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use chainrule::data::{Batch, Dataset, Loader, Transform};
use chainrule::prelude::*;
use serde_json::json;

use super::options::Options;
use super::report::{Confusion, Events, Progress as Bar};
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

/// Running sums over the batches of an epoch. A checkpoint stores them, so a resumed epoch reports the same means.
#[derive(Default)]
struct Sums {
    loss: f64,
    batches: u64,
    correct: u64,
    images: u64,
}

impl Sums {
    fn loss(&self) -> f64 {
        self.loss / self.batches.max(1) as f64
    }
    fn accuracy(&self) -> f64 {
        self.correct as f64 / self.images.max(1) as f64
    }
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
    let (train, test) = dataset.into_parts();
    let train = Loader::new(train, options.batch_size as usize).shuffle(options.seed).transforms(augment).prefetch(1);
    let (train, test) = (train.device(device), Loader::new(test, 250).prefetch(1).device(device));
    net.to(device);

    check_save(options)?;
    let parameters = net.parameters();
    let mut optimizer = options.optimizer(parameters);
    let mut events = Events::create(options.json.as_deref())?;
    let mut sums = Sums::default();
    let arithmetic = options.compute.arithmetic(device);
    let recorded = [settings.clone(), vec![(ARITHMETIC, arithmetic.clone())]].concat();
    let mut at = Progress { seed: options.seed, ..Progress::default() };
    if let Some(path) = &options.resume {
        at = resume(path, net, &mut *optimizer, &settings, &mut sums)?;
        if let Some(before) = at.settings.get(ARITHMETIC).filter(|before| **before != arithmetic) {
            println!("note: saved by a run on {before}, this one is on {arithmetic}: the results will have other bits");
        }
        println!("resuming at epoch {}, batch {} from {}", at.epoch + 1, at.batch, path.display());
    }
    let threads = chainrule::tensor::threads();
    println!(
        "{program}: {} parameters, {} + {} images, {device}, {threads} threads",
        net.parameter_count(),
        train.images().len(),
        test.images().len()
    );
    events.write(&json!({
        "event": "start", "program": program, "device": device.to_string(), "threads": threads,
        "seed": options.seed, "parameters": net.parameter_count(),
    }))?;

    let started = Instant::now();
    let mut tested = None;
    let mut replay = Replay::new(net, device);
    let mut totals = Totals::new(device);
    while at.epoch < u64::from(options.epochs) {
        net.train();
        let epoch = at.epoch as u32;
        let bar = Bar::new(epoch + 1, options.epochs, train.batches() as u64, at.batch);
        let (begun, seen) = (Instant::now(), sums.images);
        totals.begin(&sums);
        for batch in train.epoch_from(epoch, at.batch as usize) {
            step(net, &batch, &mut replay, &mut *optimizer, &mut totals);
            (sums.batches, sums.images) = (sums.batches + 1, sums.images + batch.labels.numel() as u64);
            at.step += 1;
            at.batch = batch.index as u64 + 1;
            let save_now = options.save_every.is_some_and(|n| at.step.is_multiple_of(n));
            if at.batch.is_multiple_of(READ_EVERY) || save_now || at.batch as usize == train.batches() {
                totals.read(&mut sums);
                bar.step(at.batch, sums.loss(), sums.images - seen);
            }
            if save_now && (at.batch as usize) < train.batches() {
                save(options, net, &*optimizer, &at, &recorded, &sums)?;
            }
        }
        bar.finish();
        let seconds = begun.elapsed().as_secs_f64();
        let rate = (sums.images - seen) as f64 / seconds;
        let (test_loss, confusion) = evaluate(net, &test, &classes);
        println!(
            "epoch {:>2}: train loss {:.4}, accuracy {:.2} %; test loss {test_loss:.4}, accuracy {:.2} %; {seconds:.1} s, {rate:.0} images/s",
            epoch + 1,
            sums.loss(),
            100.0 * sums.accuracy(),
            100.0 * confusion.accuracy()
        );
        events.write(&json!({
            "event": "epoch", "epoch": epoch + 1,
            "train_loss": sums.loss(), "train_accuracy": sums.accuracy(),
            "test_loss": test_loss, "test_accuracy": confusion.accuracy(),
            "seconds": seconds, "images_per_second": rate,
        }))?;
        (sums, at.epoch, at.batch) = (Sums::default(), at.epoch + 1, 0);
        tested = Some(confusion);
        save(options, net, &*optimizer, &at, &recorded, &sums)?;
    }

    let confusion = tested.unwrap_or_else(|| evaluate(net, &test, &classes).1);
    confusion.print();
    let sha256 = weights_sha256(net);
    println!(
        "\ntest accuracy {:.2} %, {:.1} s\nweights sha256 {sha256}",
        100.0 * confusion.accuracy(),
        started.elapsed().as_secs_f64()
    );
    events.write(&json!({
        "event": "result", "test_accuracy": confusion.accuracy(), "per_class": confusion.per_class(),
        "weights_sha256": sha256, "seconds": started.elapsed().as_secs_f64(),
    }))
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
fn step(net: &dyn Module, batch: &Batch, replay: &mut Replay<'_>, optimizer: &mut dyn Optimizer, totals: &mut Totals) {
    replay.run(&batch.images, &batch.labels, optimizer, &mut totals.0, |step| {
        let logits = net.forward(&Var::constant(step.inputs));
        let loss = logits.cross_entropy(step.labels);
        let gradients = loss.backward();
        step.optimizer.step(&gradients);
        step.totals[0].add_assign(&loss.value().to_f64());
        step.totals[1].add_assign(&logits.hits(step.labels));
    });
}

/// The mean loss over the test images, and their confusion matrix.
fn evaluate(net: &dyn Module, test: &Loader, classes: &[String]) -> (f64, Confusion) {
    net.eval();
    let mut confusion = Confusion::new(classes);
    let mut loss = 0.0;
    for batch in test.epoch(0) {
        let logits = no_grad(|| net.forward(&Var::constant(&batch.images)));
        loss += f64::from(logits.cross_entropy(&batch.labels).item()) * batch.labels.numel() as f64;
        confusion.add(&batch.labels.to_vec(), &logits.value().argmax(1).to_vec());
    }
    (loss / test.images().len() as f64, confusion)
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

/// Checks before the first epoch, not after it, that the checkpoint can be written.
fn check_save(options: &Options) -> Result<(), Failure> {
    let Some(path) = &options.save else { return Ok(()) };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if directory.is_dir() && !path.is_dir() {
        return Ok(());
    }
    let what = if path.is_dir() {
        "is a directory; give a file name"
    } else {
        "the directory does not exist; create it first"
    };
    Err(Failure::Run(format!("--save {}: {what}", path.display())))
}

/// The key in a checkpoint of what determines the bits of a result besides the settings.
const ARITHMETIC: &str = "arithmetic";

/// The keys of an epoch's sums in a checkpoint.
const SUMS: [&str; 4] = ["sum of losses", "batches", "correct", "images"];

/// Saves a checkpoint, if `--save` is given.
fn save(
    options: &Options,
    net: &dyn Module,
    optimizer: &dyn Optimizer,
    at: &Progress,
    settings: &[(&'static str, String)],
    sums: &Sums,
) -> Result<(), Failure> {
    let Some(path) = &options.save else { return Ok(()) };
    let mut at = at.clone();
    at.settings = settings.iter().map(|(flag, value)| ((*flag).to_owned(), value.clone())).collect();
    // The bits of the sum, not decimal digits: a resumed epoch reports exactly the same mean.
    let values = [sums.loss.to_bits(), sums.batches, sums.correct, sums.images];
    at.settings.extend(SUMS.iter().zip(values).map(|(key, value)| ((*key).to_owned(), value.to_string())));
    Ok(Checkpoint::capture(net, optimizer, &at).save(path)?)
}

/// Loads a checkpoint into the net and the optimizer.
fn resume(
    path: &Path,
    net: &dyn Module,
    optimizer: &mut dyn Optimizer,
    settings: &[(&'static str, String)],
    sums: &mut Sums,
) -> Result<Progress, Failure> {
    let checkpoint = Checkpoint::load(path)?;
    let saved: &BTreeMap<String, String> = &checkpoint.progress().settings;
    for (flag, value) in settings {
        match saved.get(*flag) {
            Some(before) if before == value => {}
            Some(before) => {
                return Err(Failure::Usage(format!(
                    "{} was saved by a run with {flag} {before}, this one has {flag} {value}; give the same flags",
                    path.display()
                )));
            }
            None => {
                return Err(Failure::Run(format!(
                    "{} was not saved by this command: it has no {flag}",
                    path.display()
                )));
            }
        }
    }
    let number = |key: &str| saved.get(key).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    let [loss, batches, correct, images] = SUMS.map(number);
    *sums = Sums { loss: f64::from_bits(loss), batches, correct, images };
    Ok(checkpoint.restore(net, optimizer)?)
}
