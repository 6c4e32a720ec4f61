//! The results of an epoch.

use serde_json::{Value, json};

/// Loss and accuracy on a set of images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The mean loss.
    pub loss: f64,
    /// The share of correctly classified images.
    pub accuracy: f64,
}

/// The results of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochResult {
    /// The number of the epoch, from 1.
    pub epoch: u64,
    /// While training, so that each batch was seen by other weights.
    pub train: Score,
    pub validation: Option<Score>,
    pub test: Score,
    /// The time of the training, in seconds.
    pub seconds: f64,
    pub images_per_second: f64,
}

impl EpochResult {
    /// A line of text.
    pub fn line(&self) -> String {
        let score = |name: &str, Score { loss, accuracy }: Score| {
            format!("{name} loss {loss:.4}, accuracy {:.2} %; ", 100.0 * accuracy)
        };
        let validation = self.validation.map(|validation| score("validation", validation)).unwrap_or_default();
        format!(
            "epoch {:>2}: {}{validation}{}{:.1} s, {:.0} images/s",
            self.epoch,
            score("train", self.train),
            score("test", self.test),
            self.seconds,
            self.images_per_second
        )
    }

    /// The event in the JSON lines.
    pub fn event(&self) -> Value {
        let mut event = json!({
            "event": "epoch", "epoch": self.epoch,
            "train_loss": self.train.loss, "train_accuracy": self.train.accuracy,
            "test_loss": self.test.loss, "test_accuracy": self.test.accuracy,
            "seconds": self.seconds, "images_per_second": self.images_per_second,
        });
        if let Some(Score { loss, accuracy }) = self.validation {
            (event["validation_loss"], event["validation_accuracy"]) = (loss.into(), accuracy.into());
        }
        event
    }
}
