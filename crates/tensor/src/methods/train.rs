//! What training needs besides: dropout's masks and the optimizers' steps.

use crate::element::{Element, Float};
use crate::kernel::{AdamStep, SgdStep};
use crate::random::Key;
use crate::shape::Shape;
use crate::tensor::TensorOf;

impl<T: Float> TensorOf<T> {
    /// 0 with probability `p`, else `1 / (1 − p)`: the factor of inverted dropout.
    ///
    /// # Panics
    /// If `p` is not in [0, 1).
    #[track_caller]
    pub fn dropout_mask(key: Key, p: f64, shape: impl Into<Shape>) -> Self {
        assert!((0.0..1.0).contains(&p), "dropout: the probability is {p}\n  rule: 0 ≤ p < 1");
        T::dropout_mask(key, p, shape.into())
    }

    /// One step of stochastic gradient descent on this parameter, in place.
    ///
    /// # Panics
    /// If a shape differs.
    #[track_caller]
    pub fn sgd_step(&mut self, gradient: &Self, momentum: Option<&mut Self>, step: SgdStep) {
        same_shape("sgd_step", self, gradient);
        T::sgd_step(self, gradient, momentum, step);
    }

    /// One step of Adam or AdamW on this parameter and its moments, in place.
    ///
    /// # Panics
    /// If a shape differs.
    #[track_caller]
    pub fn adam_step(&mut self, gradient: &Self, m: &mut Self, v: &mut Self, step: AdamStep) {
        same_shape("adam_step", self, gradient);
        T::adam_step(self, gradient, m, v, step);
    }
}

#[track_caller]
fn same_shape<T: Element>(op: &str, parameter: &TensorOf<T>, gradient: &TensorOf<T>) {
    assert!(
        parameter.layout().shape_ref() == gradient.layout().shape_ref(),
        "{op}: shapes differ\n  parameter = {}\n  gradient  = {}",
        parameter.shape(),
        gradient.shape()
    );
}
