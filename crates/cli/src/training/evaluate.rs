//! How well a net classifies a set of images, or their pixels.

use chainrule::data::Loader;
use chainrule::prelude::*;

use super::objective::Objective;
use super::out::Answers;
use super::program::Labeled;
use super::report::Confusion;
use super::views::TestViews;

/// The result of an evaluation.
pub struct Evaluation {
    /// The mean loss of the images or pixels.
    pub loss: f64,
    pub confusion: Confusion,
    pub answers: Answers,
}

/// Evaluates the net in inference mode. `None` if `interrupted` says so between two batches.
pub fn evaluate(
    net: &dyn Module,
    objective: &Objective,
    images: &Loader,
    views: TestViews,
    classes: &[String],
    interrupted: impl Fn() -> bool,
) -> Option<Evaluation> {
    net.eval();
    let labeled = if images.palette().is_some() { Labeled::Pixels } else { Labeled::Images };
    let (mut confusion, mut answers) = (Confusion::new(labeled, classes), Answers::new(labeled));
    let (mut sum, mut count) = (0.0, 0.0);
    let mut epochs: Vec<_> =
        views.loaders(images).into_iter().map(|(weight, loader)| (weight, loader.epoch(0))).collect();
    for _ in 0..images.batches() {
        let mut batches =
            epochs.iter_mut().map(|(weight, epoch)| (*weight, epoch.next().expect("as many batches as the set has")));
        let logits = |images: &Tensor| no_grad(|| objective.logits(net, images));
        let (weight, batch) = batches.next().expect("a view at least");
        // One view has the weight 1, and multiplied by it would have the same bits.
        let mut mean = logits(&batch.images);
        let mut rest = batches.peekable();
        if rest.peek().is_some() {
            mean = rest
                .fold(mean * f64::from(weight), |sum, (weight, batch)| sum + logits(&batch.images) * f64::from(weight));
        }
        let labels = &batch.labels;
        let n = labels.numel() as f64;
        (sum, count) = (sum + f64::from(objective.test_loss(&mean, labels).item()) * n, count + n);
        confusion.add(&labels.to_vec(), &mean.value().argmax(1).to_vec());
        answers.add(&mean.value(), &labels.to_vec());
        if interrupted() {
            return None;
        }
    }
    Some(Evaluation { loss: sum / count, confusion, answers })
}
