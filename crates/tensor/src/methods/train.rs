//! Training: dropout masks, gradient clipping and optimizer steps.

use crate::device::Device;
use crate::element::{Element, Float};
use crate::kernel::{AdamSlot, SgdSlot};
use crate::random::Key;
use crate::ranges;
use crate::shape::Shape;
use crate::tensor::TensorOf;

impl<T: Float> TensorOf<T> {
    /// The mask of inverted dropout: 0 with probability `p`, else `1 / (1 − p)`; the same on every device.
    ///
    /// # Panics
    /// If `p` is not in [0, 1).
    #[track_caller]
    pub fn dropout_mask(device: Device, key: Key, p: f64, shape: impl Into<Shape>) -> Self {
        ranges::check("dropout", "p", p, ranges::BELOW_ONE);
        T::dropout_mask(device, key, p, shape.into())
    }

    /// The Euclidean norm of all elements of all tensors, `√(Σ x²)`, as a scalar on their device. It is finite unless an
    /// element is not or the result exceeds 1.8e308. A GPU takes all tensors in one pass.
    pub fn norm(xs: &[&Self]) -> TensorOf<f64> {
        T::norm(xs)
    }

    /// Scales all tensors, whose common norm is given, so that it is at most `max_norm`: multiplies by
    /// `max_norm / (norm + 1e-6)` if that is below 1. A norm that is not finite changes nothing. A GPU takes all tensors in
    /// one pass.
    ///
    /// # Panics
    /// If the norm is not a scalar, or `max_norm` is negative or NaN; infinity does not clip.
    #[track_caller]
    pub fn clip_to_norm(xs: Vec<&mut Self>, norm: &TensorOf<f64>, max_norm: f64) {
        ranges::check("clip_to_norm", "max_norm", max_norm, ranges::LIMIT);
        assert!(norm.rank() == 0, "clip_to_norm: the norm has shape {}\n  rule: a scalar, shape ()", norm.shape());
        T::clip_to_norm(xs, norm, max_norm);
    }

    /// One SGD step on all parameters, in place, in one pass. `non_finite`, a scalar on the parameters' device, becomes 1
    /// if a new value of a parameter is infinite or NaN; else it is unchanged. A gradient that is not finite makes such a
    /// value. A GPU is not synchronized.
    ///
    /// # Panics
    /// If a shape differs.
    #[track_caller]
    pub fn sgd_step(slots: Vec<SgdSlot<'_, T>>, non_finite: &mut Self) {
        scalar_flag("sgd_step", non_finite);
        for slot in &slots {
            same_shape("sgd_step", slot.parameter, slot.gradient, "gradient");
            if let Some(momentum) = &slot.momentum {
                same_shape("sgd_step", slot.parameter, momentum, "momentum");
            }
        }
        T::sgd_step(slots, non_finite);
    }

    /// One Adam or `AdamW` step on all parameters and their moments, in place, in one pass. `non_finite`, a scalar on the
    /// parameters' device, becomes 1 if a new value of a parameter or of its second moment is infinite or NaN; else it is
    /// unchanged. A gradient that is not finite makes such a value. A GPU is not synchronized.
    ///
    /// # Panics
    /// If a shape differs.
    #[track_caller]
    pub fn adam_step(slots: Vec<AdamSlot<'_, T>>, non_finite: &mut Self) {
        scalar_flag("adam_step", non_finite);
        for slot in &slots {
            same_shape("adam_step", slot.parameter, slot.gradient, "gradient");
            same_shape("adam_step", slot.parameter, slot.mean, "mean");
            same_shape("adam_step", slot.parameter, slot.square, "square");
        }
        T::adam_step(slots, non_finite);
    }
}

#[track_caller]
fn scalar_flag<T: Element>(op: &str, flag: &TensorOf<T>) {
    assert!(flag.rank() == 0, "{op}: the flag has shape {}\n  rule: a scalar, shape ()", flag.shape());
}

#[track_caller]
fn same_shape<T: Element>(op: &str, parameter: &TensorOf<T>, other: &TensorOf<T>, name: &str) {
    assert!(
        parameter.layout().shape_ref() == other.layout().shape_ref(),
        "{op}: shapes differ\n  parameter = {}\n  {name:<9} = {}",
        parameter.shape(),
        other.shape()
    );
}

#[cfg(test)]
mod tests {
    use crate::{Tensor, Tensor64};

    fn clip(max_norm: f64) -> Vec<f32> {
        let mut x = Tensor::from([3.0, 4.0]);
        Tensor::clip_to_norm(vec![&mut x], &Tensor64::scalar(5.0), max_norm);
        x.to_vec()
    }

    #[test]
    fn a_limit_of_0_or_infinity_is_valid() {
        assert_eq!(clip(0.0), [0.0, 0.0]);
        assert_eq!(clip(f64::INFINITY), [3.0, 4.0]);
    }

    #[test]
    #[should_panic(expected = "clip_to_norm: max_norm is -1\n  rule: 0 ≤ max_norm ≤ ∞")]
    fn a_negative_limit_is_refused() {
        clip(-1.0);
    }

    #[test]
    #[should_panic(expected = "clip_to_norm: max_norm is NaN\n  rule: 0 ≤ max_norm ≤ ∞")]
    fn a_limit_that_is_nan_is_refused() {
        clip(f64::NAN);
    }

    #[test]
    #[should_panic(expected = "batch_norm: eps is -0.00001\n  rule: 0 ≤ eps < ∞")]
    fn a_negative_eps_of_batch_norm_is_refused() {
        let (x, one) = (Tensor::ones([2, 1]), Tensor::ones(1));
        x.batch_norm(&one, &one, -1e-5, crate::Epilogue::NONE);
    }
}
