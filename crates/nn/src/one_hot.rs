//! Class labels as probabilities.

use chainrule_tensor::{Float, Shape, TensorOf};

/// One-hot labels (`torch.nn.functional.one_hot`): from (…) to (…, classes), 1 at each label and 0 elsewhere, on the device of
/// the labels.
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
/// If a label is out of range; a GPU reports that at the next synchronization.
#[must_use]
#[track_caller]
pub fn one_hot<T: Float>(labels: &TensorOf<i32>, classes: usize) -> TensorOf<T> {
    let n = labels.numel();
    let ones = TensorOf::full_on(labels.device(), [n, 1], T::ONE);
    let rows = ones.scatter_add(1, &labels.reshape([n, 1]), [n, classes]);
    rows.reshape(Shape::new(&[&labels.shape()[..], &[classes]].concat()))
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
    fn the_classes_are_a_last_axis() {
        let pixels = one_hot::<f32>(&[[0, 2], [1, 1]].into(), 3);
        let rows = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]];
        assert_eq!((pixels.shape().to_vec(), pixels.to_vec()), (vec![2, 2, 3], rows.concat()));
        let one = one_hot::<f64>(&TensorOf::scalar(1), 2);
        assert_eq!((one.shape().to_vec(), one.to_vec()), (vec![2], vec![0.0, 1.0]));
        let none = one_hot::<f64>(&TensorOf::zeros([0, 4]), 2);
        assert_eq!(none.shape().to_vec(), [0, 4, 2]);
    }
}
