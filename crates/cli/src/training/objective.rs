//! The loss that training minimizes, and what the outputs of the net are for it.

use chainrule::prelude::*;
use clap::ValueEnum;

use crate::failure::Failure;

/// A loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LossKind {
    /// Cross-entropy of the softmax over the classes
    CrossEntropy,
    /// Binary cross-entropy of the sigmoid of a single output; for two classes
    Bce,
    /// Mean squared error: of the sigmoid of a single output for two classes, else of the softmax, summed over the classes
    Mse,
}

/// The loss of a run.
#[derive(Clone, Debug)]
pub struct Objective {
    kind: LossKind,
    classes: usize,
    label_smoothing: f64,
}

impl Objective {
    /// The objective for a number of classes.
    ///
    /// # Errors
    /// If the loss is for two classes only, or has no label smoothing.
    pub fn new(kind: LossKind, classes: usize, label_smoothing: f64) -> Result<Self, Failure> {
        if kind == LossKind::Bce && classes != 2 {
            return Err(Failure::Usage(format!(
                "--loss bce is for two classes, and the dataset has {classes}; choose two by --classes"
            )));
        }
        if kind != LossKind::CrossEntropy && label_smoothing != 0.0 {
            return Err(Failure::Usage("--label-smoothing is a setting of `--loss cross-entropy`".into()));
        }
        Ok(Self { kind, classes, label_smoothing })
    }

    /// Whether the targets may be shares of several classes.
    pub fn has_soft_targets(&self) -> bool {
        self.kind == LossKind::CrossEntropy
    }

    /// The number of outputs of the net.
    pub fn outputs(&self) -> usize {
        if self.kind != LossKind::CrossEntropy && self.classes == 2 { 1 } else { self.classes }
    }

    /// The logits (N, classes) for images (N,C,H,W). A single output z stands for the logits 0 and z, whose softmax is 1 − σ(z) and σ(z).
    pub fn logits(&self, net: &dyn Module, images: &Tensor) -> Var {
        let outputs = net.forward(&Var::constant(images));
        if self.outputs() == self.classes {
            return outputs;
        }
        outputs * Var::constant(Tensor::from_slice(&[0.0, 1.0], [1, 2]).to(images.device()))
    }

    /// The mean loss of a batch. `targets` (N, classes) are the shares of the classes in mixed images.
    pub fn loss(&self, logits: &Var, labels: &TensorOf<i32>, targets: Option<&Tensor>) -> Var {
        let Some(targets) = targets else { return self.smoothed(logits, labels, self.label_smoothing) };
        let options = CrossEntropy { label_smoothing: self.label_smoothing, ..CrossEntropy::default() };
        logits.soft_cross_entropy_with(&Var::constant(targets), &options)
    }

    /// The mean loss without label smoothing, which is that of a test.
    pub fn test_loss(&self, logits: &Var, labels: &TensorOf<i32>) -> Var {
        self.smoothed(logits, labels, 0.0)
    }

    fn smoothed(&self, logits: &Var, labels: &TensorOf<i32>, label_smoothing: f64) -> Var {
        match self.kind {
            // Of the logits 0 and z, cross-entropy is the binary cross-entropy of σ(z).
            LossKind::CrossEntropy | LossKind::Bce => {
                logits.cross_entropy_with(labels, &CrossEntropy { label_smoothing, ..CrossEntropy::default() })
            }
            LossKind::Mse => {
                let options = CrossEntropy { reduction: Reduction::None, ..CrossEntropy::default() };
                let of_label = (-logits.cross_entropy_with(labels, &options)).exp();
                if self.outputs() == 1 {
                    // (σ − 1)² for label 1, σ² for label 0.
                    return (1.0 - of_label).square().mean();
                }
                // Σ (p − onehot)² = Σ p² − 2·p[label] + 1.
                let squares = logits.softmax(1).square().sum_axes(&[1], false);
                (squares - 2.0 * of_label + 1.0).mean()
            }
        }
    }
}
