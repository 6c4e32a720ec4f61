//! Labels of samples, some of which may be ignored, and the mean over the others.

use chainrule_tensor::{Compare, Float, Shape, TensorOf};

use super::mse::Reduction;
use crate::graph::VarOf;

/// Labels (N,…) of samples.
pub(super) struct Labels {
    /// The labels, 0 where a sample is ignored.
    pub(super) valid: TensorOf<i32>,
    /// Not 0 where a sample counts; `None` if all do.
    counted: Option<TensorOf<u8>>,
}

impl Labels {
    pub(super) fn new(labels: &TensorOf<i32>, ignore_index: Option<i32>) -> Self {
        let Some(ignored) = ignore_index else { return Self { valid: labels.clone(), counted: None } };
        let counted = labels.compare(Compare::NotEqual, &TensorOf::scalar(ignored));
        Self { valid: labels.select(&counted, &TensorOf::scalar(0)), counted: Some(counted) }
    }

    /// The weight of each sample's label, with the shape of the labels.
    #[track_caller]
    pub(super) fn weights<T: Float>(&self, op: &str, of_classes: &TensorOf<T>, classes: usize) -> TensorOf<T> {
        assert!(
            of_classes.shape() == [classes],
            "{op}: weights have shape {}\n  rule: one for each of {classes} classes",
            of_classes.shape()
        );
        of_classes.index_select(0, &self.valid.reshape(self.valid.numel())).reshape(self.valid.shape())
    }

    /// The losses of the samples, reduced. Those that are ignored are 0, and their gradient too. The mean divides by the sum of
    /// the weights of the others, or by their number.
    pub(super) fn reduce<T: Float>(
        &self,
        losses: VarOf<T>,
        weights: Option<TensorOf<T>>,
        reduction: Reduction,
    ) -> VarOf<T> {
        let zero = TensorOf::scalar(T::ZERO);
        let (losses, counted) = match (&self.counted, weights) {
            (None, weights) => (losses, weights),
            (Some(mask), None) => (losses.select(mask, &VarOf::constant(zero)), Some(mask.cast())),
            (Some(mask), Some(weights)) => {
                (losses.select(mask, &VarOf::constant(&zero)), Some(weights.select(mask, &zero)))
            }
        };
        match (reduction, counted) {
            (Reduction::Mean, Some(counted)) => losses.sum() / VarOf::constant(counted.sum(&[], false)),
            _ => reduction.of(losses),
        }
    }
}

/// The shape (N,1,…) of labels (N,…) beside the classes of (N,C,…).
pub(super) fn one_for_each(labels: &TensorOf<i32>) -> Shape {
    let shape = labels.shape();
    Shape::new(&[&shape[..1], &[1], &shape[1..]].concat())
}

/// The element of x (N,C,…) at the label of each sample (N,…).
pub(super) fn of_label<T: Float>(x: &VarOf<T>, labels: &TensorOf<i32>) -> VarOf<T> {
    x.gather(1, &labels.reshape(one_for_each(labels))).reshape(labels.shape())
}
