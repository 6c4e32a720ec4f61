//! What training needs besides: dropout's masks, what clips gradients, and the optimizers' steps.

use crate::device::Device;
use crate::element::{Element, Float};
use crate::kernel::{AdamSlot, SgdSlot};
use crate::random::Key;
use crate::shape::Shape;
use crate::tensor::TensorOf;

impl<T: Float> TensorOf<T> {
    /// 0 with probability `p`, else `1 / (1 − p)`: the factor of inverted dropout, the same on every device.
    ///
    /// # Panics
    /// If `p` is not in [0, 1).
    #[track_caller]
    pub fn dropout_mask(device: Device, key: Key, p: f64, shape: impl Into<Shape>) -> Self {
        assert!((0.0..1.0).contains(&p), "dropout: the probability is {p}\n  rule: 0 ≤ p < 1");
        T::dropout_mask(device, key, p, shape.into())
    }

    /// The sum of the squares of all elements of all these tensors: a number without axes, where the tensors are. A GPU takes
    /// them all in one pass.
    pub fn sum_of_squares(xs: &[&Self]) -> TensorOf<f64> {
        T::sum_of_squares(xs)
    }

    /// Multiplies all elements of all these tensors by a number without axes. A GPU takes them all in one pass.
    ///
    /// # Panics
    /// If the number has axes.
    #[track_caller]
    pub fn scale_all(xs: Vec<&mut Self>, factor: &TensorOf<f64>) {
        assert!(
            factor.rank() == 0,
            "scale_all: the factor has shape {}\n  rule: one number without axes",
            factor.shape()
        );
        T::scale_all(xs, factor);
    }

    /// One step of stochastic gradient descent on each of these parameters, in place, in one pass over all.
    ///
    /// # Panics
    /// If a shape differs.
    #[track_caller]
    pub fn sgd_step(slots: Vec<SgdSlot<'_, T>>) {
        for slot in &slots {
            same_shape("sgd_step", slot.parameter, slot.gradient, "gradient");
            if let Some(momentum) = &slot.momentum {
                same_shape("sgd_step", slot.parameter, momentum, "momentum");
            }
        }
        T::sgd_step(slots);
    }

    /// One step of Adam or `AdamW` on each of these parameters and their moments, in place, in one pass over all.
    ///
    /// # Panics
    /// If a shape differs.
    #[track_caller]
    pub fn adam_step(slots: Vec<AdamSlot<'_, T>>) {
        for slot in &slots {
            same_shape("adam_step", slot.parameter, slot.gradient, "gradient");
            same_shape("adam_step", slot.parameter, slot.mean, "mean");
            same_shape("adam_step", slot.parameter, slot.square, "square");
        }
        T::adam_step(slots);
    }
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
