//! Class labels as probabilities.

use chainrule_tensor::{Float, TensorOf};

/// One-hot labels: from (N) to (N, classes), 1 at the label of each sample and 0 elsewhere, on the device of the labels.
///
/// Losses of probabilities need them, such as the mean squared error of a classifier:
///
/// ```
/// use chainrule_autograd::{Reduction, Var};
/// use chainrule_nn::one_hot;
/// let logits = Var::constant([[0.0, 0.0], [0.0, 0.0]]);
/// let target = Var::constant(one_hot(&[1, 0].into(), 2));
/// assert_eq!(target.value().to_vec(), [0.0, 1.0, 1.0, 0.0]);
/// assert_eq!(logits.softmax(1).mse_loss(&target, Reduction::Mean).item(), 0.25);
/// ```
///
/// # Panics
/// If the labels have not one axis, or one is out of range; a GPU reports that at the next synchronization.
#[must_use]
#[track_caller]
pub fn one_hot<T: Float>(labels: &TensorOf<i32>, classes: usize) -> TensorOf<T> {
    assert!(
        labels.rank() == 1,
        "one_hot: labels have shape {}\n  rule: one label for each sample, (N)",
        labels.shape()
    );
    let n = labels.numel();
    let ones = TensorOf::full_on(labels.device(), [n, 1], T::ONE);
    ones.scatter_add(1, &labels.reshape([n, 1]), [n, classes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "scatter_add: index 3 is out of range for an axis of length 3")]
    fn a_label_out_of_range_is_named() {
        let _ = one_hot::<f32>(&[0, 3].into(), 3);
    }

    #[test]
    #[should_panic(expected = "one_hot: labels have shape (1, 2)\n  rule: one label for each sample, (N)")]
    fn labels_have_one_axis() {
        let _ = one_hot::<f32>(&[[0, 1]].into(), 3);
    }
}
