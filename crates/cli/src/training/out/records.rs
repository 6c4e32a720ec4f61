//! What a run leaves in its folder, as data: one struct for each kind of record. All pages, plots and pictures are made from
//! these.

use serde::{Deserialize, Deserializer, Serialize};

use crate::training::program::Labeled;

/// Reads a number; JSON has no NaN and no infinity, and they are written as null.
fn number<'de, D: Deserializer<'de>, T: Deserialize<'de> + From<f32>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_else(|| f32::NAN.into()))
}

/// `config.json`: what was run, on what, where.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Config {
    /// The name of the subcommand.
    pub program: String,
    /// The version of the program.
    pub version: String,
    /// The arguments of the program, as given.
    pub command: Vec<String>,
    /// The flags that determine the result, with their values.
    pub settings: Vec<(String, String)>,
    pub epochs: u32,
    /// The steps of all epochs.
    pub steps: u64,
    pub data: Data,
    pub net: Net,
    pub machine: Machine,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Data {
    pub name: String,
    pub training_images: usize,
    pub test_images: usize,
    /// The shape (C, H, W) of the images of the set, which are also those of the pictures.
    pub image: [usize; 3],
    /// What labels stand for: classes of images, or colors of pixels, such as "#c81e1e".
    pub classes: Vec<String>,
    /// What has a label.
    #[serde(default)]
    pub labeled: Labeled,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Net {
    /// The shape (C, H, W) of the net's input for one image: the transformed image, or the cached output of frozen layers.
    #[serde(default)]
    pub input: Option<[usize; 3]>,
    pub parameters: usize,
    /// The operations of a forward pass of one image.
    pub operations: Vec<Operation>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Operation {
    /// The path of its layer; empty if it has no parameters.
    pub layer: String,
    pub operation: String,
    pub output: Vec<usize>,
    pub parameters: usize,
    pub multiply_adds: usize,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Machine {
    pub device: String,
    /// Device, precision and vector instructions: what determines the bits of results.
    pub arithmetic: String,
    pub threads: usize,
    /// Operating system and processor architecture.
    pub system: String,
    /// When the run started or was resumed, in seconds since 1970.
    pub started: u64,
}

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Metric {
    Step(StepRow),
    Epoch(EpochRow),
}

impl Metric {
    /// The time of the run until then.
    pub fn seconds(&self) -> f64 {
        match self {
            Self::Step(row) => row.seconds,
            Self::Epoch(row) => row.seconds,
        }
    }
}

/// The training after some more steps.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct StepRow {
    /// Completed steps.
    pub step: u64,
    /// The epoch, from 1, and its completed batches and images (or pixels, if those have the labels).
    pub epoch: u64,
    pub batch: u64,
    pub images: u64,
    /// The mean loss, and the share of what was classified correctly, over the steps since the row before.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    pub accuracy: f64,
    /// The same since the start of the epoch.
    #[serde(deserialize_with = "number")]
    pub epoch_loss: f64,
    pub epoch_accuracy: f64,
    /// The learning rate of the last step.
    pub lr: f64,
    /// The time of the run so far, evaluations included.
    pub seconds: f64,
}

/// An epoch: means over its training, and the evaluation after it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct EpochRow {
    pub epoch: u64,
    pub step: u64,
    pub train: Score,
    /// On the images that are held out, if there are some.
    pub validation: Option<Score>,
    pub test: Score,
    /// Of the training alone.
    pub images_per_second: f64,
    /// The time of the run so far, evaluations included.
    pub seconds: f64,
}

/// The mean loss over some images or pixels, and the share of them that are classified correctly.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Score {
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    pub accuracy: f64,
}

/// A line of `probes.jsonl`: the net on a fixed batch of training images, before the step that follows.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Probe {
    /// Completed steps.
    pub step: u64,
    /// The images of the batch, and their loss.
    pub images: usize,
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    pub layers: Vec<LayerProbe>,
    pub outputs: Vec<OutputProbe>,
    /// The filters of the first convolution.
    pub filters: Option<Filters>,
}

/// The parameters of a layer. Norms are Euclidean, over all of its parameters together.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LayerProbe {
    pub layer: String,
    /// The norm of the gradient on the fixed batch.
    #[serde(deserialize_with = "number")]
    pub gradient: f32,
    /// The norm of the parameters.
    #[serde(deserialize_with = "number")]
    pub weight: f32,
    /// The norm of what the step that follows adds to them; none at the end of the run.
    pub update: Option<f32>,
}

/// The output of an operation on the fixed batch.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct OutputProbe {
    /// Such as `conv1`, or `conv1 · relu` for an operation without parameters after it.
    pub name: String,
    #[serde(deserialize_with = "number")]
    pub mean: f32,
    #[serde(deserialize_with = "number")]
    pub std: f32,
    /// The share of elements that are 0.
    pub zeros: f32,
    /// Of a ReLU: the share of units (channels, or single outputs) that are 0 for all images and everywhere.
    pub dead: Option<f32>,
    /// Of a sigmoid or tanh: the share of elements whose slope is below a tenth of the largest.
    pub saturated: Option<f32>,
    /// The histogram: bins of equal width from `low` to `high`. What lies outside is in the outer bins.
    #[serde(deserialize_with = "number")]
    pub low: f32,
    #[serde(deserialize_with = "number")]
    pub high: f32,
    pub counts: Vec<u32>,
}

/// The weights of some filters: `scale · values / 127`, in the order (O,C,kh,kw).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Filters {
    pub layer: String,
    pub shape: [usize; 4],
    pub scale: f32,
    pub values: Vec<i8>,
}

/// A line of `predictions.jsonl`: what the net says of the test images after an epoch.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Predictions {
    pub epoch: u64,
    pub step: u64,
    /// Rows: the true class; columns: the predicted class.
    pub confusion: Vec<Vec<u32>>,
    /// The class of each test image, as the net sees it; empty if pixels have classes.
    pub predicted: Vec<u16>,
}

/// `result.json`: how the run ended.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Outcome {
    pub step: u64,
    pub test_accuracy: f64,
    pub per_class: Vec<f64>,
    pub weights_sha256: String,
    pub seconds: f64,
}

/// `examples/examples.json`: the pictures in that folder.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Examples {
    /// The test images of `images.png`, row by row.
    pub images: Vec<Example>,
    /// Images in a row.
    pub columns: usize,
    /// The positions in `images` of the mistakes with the largest loss, that one first.
    pub worst: Vec<usize>,
    /// The position in `images`, and the outputs of the net for it in `maps-0.png`, `maps-1.png` and so on.
    pub maps: Vec<(usize, Vec<Tiles>)>,
    /// The filters of the convolutions, in `filters.png`.
    pub filters: Vec<Tiles>,
    /// If the net colorizes: what it makes of some images. Then `images` is empty, and positions are those of these.
    #[serde(default)]
    pub colorized: Option<Colorized>,
}

/// Test images and what the net makes of them, in `colorized.png`: a row for each image.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Colorized {
    pub images: Vec<ColorizedImage>,
    /// The names of the pictures in a row.
    pub panels: Vec<String>,
    /// The positions of the images with the most pixels that are right, and with the fewest, those first.
    pub best: Vec<usize>,
    pub worst: Vec<usize>,
    /// The temperature of the annealed means.
    pub temperature: f64,
}

/// A test image that is colorized.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ColorizedImage {
    /// Its index in the test set.
    pub index: usize,
    /// The share of its pixels that are right, and their mean loss.
    pub accuracy: f64,
    #[serde(deserialize_with = "number")]
    pub loss: f64,
}

/// A test image.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Example {
    /// Its index in the test set.
    pub index: usize,
    pub label: u16,
    /// The three most probable classes, with their probabilities, unless they are not finite.
    pub top: Vec<(u16, Option<f32>)>,
}

/// A block of small pictures of equal size in a larger one, row by row, with a pixel between them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Tiles {
    pub name: String,
    /// How many there are of them in the net, and how many of them are shown.
    pub total: usize,
    pub shown: usize,
    /// The size of each, and how many are in a row.
    pub height: usize,
    pub width: usize,
    pub columns: usize,
    /// Where the block begins.
    pub top: usize,
    /// The value of black, and that of white.
    #[serde(deserialize_with = "number")]
    pub low: f32,
    #[serde(deserialize_with = "number")]
    pub high: f32,
}
