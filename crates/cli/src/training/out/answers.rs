//! What a net answers to each test image.

use chainrule::prelude::*;

use crate::training::program::Labeled;

/// The most probable classes that are kept.
const TOP: usize = 3;

/// What a net answers to each image of an evaluation, in their order.
pub enum Answers {
    /// A class for each image.
    Images(ImageAnswers),
    /// A color for each pixel.
    Pixels(PixelAnswers),
}

/// The classes of images.
#[derive(Default)]
pub struct ImageAnswers {
    pub labels: Vec<u16>,
    /// The most probable classes and their probabilities, the most probable first.
    pub top: Vec<Vec<(u16, Option<f32>)>>,
    /// The cross-entropy of each image: minus the logarithm of the probability of its class.
    pub losses: Vec<f32>,
}

/// How well the pixels of each image are classified.
#[derive(Default)]
pub struct PixelAnswers {
    /// The share of the pixels that are right.
    pub accuracies: Vec<f64>,
    /// The mean cross-entropy of the pixels.
    pub losses: Vec<f64>,
}

impl Answers {
    pub fn new(labeled: Labeled) -> Self {
        match labeled {
            Labeled::Images => Self::Images(ImageAnswers::default()),
            Labeled::Pixels => Self::Pixels(PixelAnswers::default()),
        }
    }

    /// Adds a batch: logits (N, classes) or (N, classes, H, W) and labels (N) or (N, H, W).
    pub fn add(&mut self, logits: &Tensor, labels: &[i32]) {
        match self {
            Self::Images(answers) => answers.add(logits, labels),
            Self::Pixels(answers) => answers.add(logits, labels),
        }
    }

    /// The predicted class of each image; empty if pixels have classes.
    pub fn predicted(&self) -> Vec<u16> {
        match self {
            Self::Images(answers) => (0..answers.labels.len()).map(|index| answers.predicted(index)).collect(),
            Self::Pixels(_) => Vec::new(),
        }
    }

    /// All answers as CSV, for a spreadsheet.
    pub fn csv(&self, classes: &[String]) -> Result<Vec<u8>, csv::Error> {
        let mut table = csv::Writer::from_writer(Vec::new());
        match self {
            Self::Images(answers) => answers.write(&mut table, classes)?,
            Self::Pixels(answers) => answers.write(&mut table)?,
        }
        table.into_inner().map_err(|error| error.into_error().into())
    }
}

impl ImageAnswers {
    fn add(&mut self, logits: &Tensor, labels: &[i32]) {
        let classes = logits.shape()[1];
        for (row, &label) in logits.log_softmax(1).to_vec().chunks_exact(classes).zip(labels) {
            let mut order: Vec<u16> = (0..classes as u16).collect();
            // Stable, so the first of equal logits wins, as in argmax.
            order.sort_by(|&a, &b| row[usize::from(b)].total_cmp(&row[usize::from(a)]));
            order.truncate(TOP);
            self.top.push(
                order
                    .into_iter()
                    .map(|class| (class, Some(row[usize::from(class)].exp()).filter(|p| p.is_finite())))
                    .collect(),
            );
            self.labels.push(label as u16);
            self.losses.push(-row[label as usize]);
        }
    }

    /// The predicted class of an image.
    pub fn predicted(&self, index: usize) -> u16 {
        self.top[index][0].0
    }

    pub fn is_right(&self, index: usize) -> bool {
        self.predicted(index) == self.labels[index]
    }

    fn write(&self, table: &mut csv::Writer<Vec<u8>>, classes: &[String]) -> csv::Result<()> {
        table.write_record(["image", "class", "predicted", "probability", "loss"])?;
        for (index, (&label, loss)) in self.labels.iter().zip(&self.losses).enumerate() {
            let (predicted, probability) = self.top[index][0];
            let [class, predicted] = [label, predicted].map(|class| classes[usize::from(class)].clone());
            let probability = probability.map_or_else(String::new, |probability| probability.to_string());
            table.write_record([index.to_string(), class, predicted, probability, loss.to_string()])?;
        }
        Ok(())
    }
}

impl PixelAnswers {
    fn add(&mut self, logits: &Tensor, labels: &[i32]) {
        let shape = logits.shape();
        let (classes, plane) = (shape[1], shape[2] * shape[3]);
        let (log_softmax, predicted) = (logits.log_softmax(1).to_vec(), logits.argmax(1).to_vec());
        let images = log_softmax.chunks_exact(classes * plane).zip(labels.chunks_exact(plane));
        for ((logs, labels), predicted) in images.zip(predicted.chunks_exact(plane)) {
            let right = labels.iter().zip(predicted).filter(|(label, predicted)| label == predicted).count();
            let log = |(at, &label): (usize, &i32)| f64::from(logs[label as usize * plane + at]);
            self.accuracies.push(right as f64 / plane as f64);
            self.losses.push(-labels.iter().enumerate().map(log).sum::<f64>() / plane as f64);
        }
    }

    fn write(&self, table: &mut csv::Writer<Vec<u8>>) -> csv::Result<()> {
        table.write_record(["image", "accuracy", "loss"])?;
        for (index, (accuracy, loss)) in self.accuracies.iter().zip(&self.losses).enumerate() {
            table.write_record([index.to_string(), accuracy.to_string(), loss.to_string()])?;
        }
        Ok(())
    }
}
