//! The saved state of a run: what a checkpoint holds besides the net and the optimizer, and which run may go on from it.

use std::collections::BTreeMap;
use std::path::Path;

use chainrule::data::{Loader, Palette};
use chainrule::nn::Ema;
use chainrule::prelude::*;

use super::settings::Settings;
use crate::failure::Failure;

/// Running sums over the steps of an epoch. A checkpoint stores them, so a resumed epoch reports the same means.
#[derive(Clone, Default)]
pub struct Sums {
    /// The sum of the mean losses of the steps.
    pub loss: f64,
    pub steps: u64,
    /// The number of images or pixels with a label, and of those that were classified correctly.
    pub labels: u64,
    pub correct: u64,
}

impl Sums {
    /// The mean loss.
    pub fn loss(&self) -> f64 {
        self.loss / self.steps.max(1) as f64
    }

    /// The share of what was classified correctly.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.labels.max(1) as f64
    }
}

/// The epoch with the best accuracy so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// The accuracy on the images that the choice is made by.
    pub accuracy: f64,
    /// The number of the epoch, from 1.
    pub epoch: u64,
}

/// How far a run has come.
#[derive(Clone, Default)]
pub struct State {
    pub at: Progress,
    /// The sums of the current epoch.
    pub sums: Sums,
    /// `None` before the end of the first epoch.
    pub best: Option<Best>,
}

/// The keys of an epoch's sums in a checkpoint; "images" are the labels, also if pixels have them, and
/// "batches" are the steps.
const SUMS: [&str; 4] = ["sum of losses", "batches", "correct", "images"];
/// The keys of the best epoch.
const BEST: [&str; 2] = ["best accuracy", "best epoch"];
/// The key of what determines the bits of a result besides the settings and the data.
const ARITHMETIC: &str = "arithmetic";
/// The keys of the training data: the number of images, and a checksum of their pixels and labels.
const COUNT: &str = "training images";
const CHECKSUM: &str = "checksum of the training images";
/// The keys of what a net is built from besides its flags: the shape of an image, and the names of the classes or colors, one a
/// line.
const IMAGE: &str = "image";
const CLASSES: &str = "classes";

/// The shape (C, H, W) of an image among the entries of a checkpoint.
pub fn image(entries: &BTreeMap<String, String>) -> Option<[usize; 3]> {
    let sizes: Option<Vec<usize>> = entries.get(IMAGE)?.split(',').map(|size| size.parse().ok()).collect();
    sizes?.try_into().ok()
}

/// The names of the classes or colors among the entries of a checkpoint.
pub fn classes(entries: &BTreeMap<String, String>) -> Option<Vec<String>> {
    Some(entries.get(CLASSES)?.lines().map(str::to_owned).collect())
}

/// The colors of a saved run; `None` if it does not label pixels.
///
/// # Errors
/// If the file cannot be read.
pub fn palette(path: &Path) -> Result<Option<Palette>, Failure> {
    let checkpoint = Checkpoint::load(path)?;
    Ok(classes(&checkpoint.progress().settings).and_then(|names| Palette::from_names(&names)))
}

/// What determines the bits of a run.
pub struct Identity {
    settings: Settings,
    arithmetic: String,
    images: usize,
    checksum: String,
    image: [usize; 3],
    classes: Vec<String>,
}

impl Identity {
    /// `classes` are the names of what labels stand for.
    pub fn new(settings: Settings, arithmetic: String, train: &Loader, classes: &[String]) -> Self {
        let images = train.images();
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(images.pixels());
        checksum.update(images.labels());
        let checksum = format!("crc32 {:08x}", checksum.finalize());
        let (image, classes) = (train.image_shape(), classes.to_vec());
        Self { settings, arithmetic, images: images.len(), checksum, image, classes }
    }

    /// Saves a checkpoint.
    pub fn save(
        &self,
        path: &Path,
        net: &dyn Module,
        optimizer: &dyn Optimizer,
        ema: Option<&Ema>,
        state: &State,
    ) -> Result<(), Failure> {
        let State { at, sums, best } = state;
        let mut at = at.clone();
        let entry = |key: &str, value: String| (key.to_owned(), value);
        let [c, h, w] = self.image;
        at.settings = self.settings.entries().collect();
        at.settings.extend([
            entry(ARITHMETIC, self.arithmetic.clone()),
            entry(COUNT, self.images.to_string()),
            entry(CHECKSUM, self.checksum.clone()),
            entry(IMAGE, format!("{c},{h},{w}")),
            entry(CLASSES, self.classes.join("\n")),
        ]);
        // The bits of the sum, not decimal digits: a resumed epoch reports exactly the same mean.
        let values = [sums.loss.to_bits(), sums.steps, sums.correct, sums.labels];
        at.settings.extend(SUMS.iter().zip(values).map(|(key, value)| entry(key, value.to_string())));
        if let Some(Best { accuracy, epoch }) = best {
            let values = [accuracy.to_bits(), *epoch];
            at.settings.extend(BEST.iter().zip(values).map(|(key, value)| entry(key, value.to_string())));
        }
        let checkpoint = Checkpoint::capture(net, optimizer, &at);
        let checkpoint = if let Some(ema) = ema { checkpoint.with_average(ema) } else { checkpoint };
        Ok(checkpoint.save(path)?)
    }

    /// What determines the bits of a run, by name: what processes that train together have in common.
    pub fn facts(&self, net: &dyn Module, State { at, sums, .. }: &State) -> Vec<(&'static str, String)> {
        let flags: Vec<String> = self.settings.entries().map(|(flag, value)| format!("{flag} {value}")).collect();
        vec![
            ("flags", flags.join(" ")),
            ("data", format!("{} training images, {}", self.images, self.checksum)),
            ("weights", weights_sha256(net)),
            ("progress", format!("step {}, epoch {}, batch {}, loss {}", at.step, at.epoch + 1, at.batch, sums.loss)),
        ]
    }

    /// Loads a checkpoint into the net and the optimizer, and prints what differs from the saved run if it is to `report`.
    pub fn resume(
        &self,
        path: &Path,
        net: &dyn Module,
        optimizer: &mut dyn Optimizer,
        ema: Option<&mut Ema>,
        report: bool,
    ) -> Result<State, Failure> {
        let checkpoint = Checkpoint::load(path)?;
        let at = checkpoint.progress().clone();
        self.settings.check_same(path, &Settings::saved(path, &at.settings)?)?;
        self.check_data(path, &at)?;
        checkpoint.restore(net, optimizer)?;
        ema.map_or(Ok(()), |ema| checkpoint.restore_average(ema))?;
        let note = |text: String| {
            if report {
                println!("{text}");
            }
        };
        if let Some(before) = at.settings.get(ARITHMETIC).filter(|before| **before != self.arithmetic) {
            note(format!(
                "note: saved by a run on {before}, this one is on {}: the results will have other bits",
                self.arithmetic
            ));
        }
        if at.settings.get(CHECKSUM).is_some_and(|before| *before != self.checksum) {
            note("note: saved by a run on other training images: the results will differ".into());
        }
        note(format!("resuming at epoch {}, batch {} from {}", at.epoch + 1, at.batch, path.display()));
        let number = |key: &str| at.settings.get(key).and_then(|value| value.parse::<u64>().ok());
        let [loss, steps, correct, labels] = SUMS.map(|key| number(key).unwrap_or(0));
        let sums = Sums { loss: f64::from_bits(loss), steps, labels, correct };
        let [accuracy, epoch] = BEST.map(number);
        let best = accuracy.zip(epoch).map(|(bits, epoch)| Best { accuracy: f64::from_bits(bits), epoch });
        Ok(State { at, sums, best })
    }

    /// An epoch that has begun cannot go on with another number of images: its batches are others.
    fn check_data(&self, path: &Path, at: &Progress) -> Result<(), Failure> {
        let Some(before) = at.settings.get(COUNT).filter(|before| **before != self.images.to_string()) else {
            return Ok(());
        };
        if at.batch == 0 {
            return Ok(());
        }
        Err(Failure::Run(format!(
            "{} was saved after batch {} of an epoch over {before} training images, and this dataset has {}\n  \
             rule: an epoch goes on with the images that it began with; give the same data, or a checkpoint from the end of an epoch",
            path.display(),
            at.batch,
            self.images
        )))
    }
}
