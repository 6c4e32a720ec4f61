//! What a net answers to each test image.

use chainrule::prelude::*;

use super::records::Predictions;

/// The most probable classes that are kept.
const TOP: usize = 3;

/// What a net answers to each image of an evaluation, in their order.
#[derive(Default)]
pub struct Answers {
    pub labels: Vec<u16>,
    /// The most probable classes and their probabilities, the most probable first.
    pub top: Vec<Vec<(u16, Option<f32>)>>,
    /// The cross-entropy of each image: minus the logarithm of the probability of its class.
    pub losses: Vec<f32>,
}

impl Answers {
    /// Adds a batch: logits (N, classes) and labels (N).
    pub fn add(&mut self, logits: &Tensor, labels: &[i32]) {
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

    /// The predictions after an epoch.
    pub fn predictions(&self, epoch: u64, step: u64, classes: usize) -> Predictions {
        let predicted: Vec<u16> = (0..self.labels.len()).map(|index| self.predicted(index)).collect();
        let mut confusion = vec![vec![0; classes]; classes];
        for (&label, &class) in self.labels.iter().zip(&predicted) {
            confusion[usize::from(label)][usize::from(class)] += 1;
        }
        Predictions { epoch, step, confusion, predicted }
    }

    /// All predictions as CSV, for a spreadsheet.
    pub fn csv(&self, classes: &[String]) -> Result<Vec<u8>, csv::Error> {
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(["image", "class", "predicted", "probability", "loss"])?;
        for (index, (&label, loss)) in self.labels.iter().zip(&self.losses).enumerate() {
            let (predicted, probability) = self.top[index][0];
            let [class, predicted] = [label, predicted].map(|class| classes[usize::from(class)].clone());
            let probability = probability.map_or_else(String::new, |probability| probability.to_string());
            table.write_record([index.to_string(), class, predicted, probability, loss.to_string()])?;
        }
        table.into_inner().map_err(|error| error.into_error().into())
    }
}
