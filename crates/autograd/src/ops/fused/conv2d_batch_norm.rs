//! A convolution and the batch normalization of its result, which begins with what the convolution learned.

use chainrule_tensor::{Conv2dOptions, Float};

use crate::ops::normalization::batch_norm::BatchStatistics;
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// [`conv2d`](Self::conv2d) of x (N,C,H,W), then [`batch_norm`](Self::batch_norm) of its result. They stay two ops with
    /// their own gradients; but a GPU sums up each channel while the first one's result is still in registers, and does
    /// not read it again for that.
    ///
    /// # Panics
    /// If a shape does not match.
    #[track_caller]
    pub fn conv2d_batch_norm(
        &self,
        w: &Self,
        b: Option<&Self>,
        options: Conv2dOptions,
        [gamma, beta]: [&Self; 2],
        eps: f64,
    ) -> (Self, BatchStatistics<T>) {
        let (y, moments) = self.conv2d_with_moments(w, b, options);
        y.batch_norm_with(moments.as_ref(), [gamma, beta], eps)
    }

    /// [`conv2d`](Self::conv2d) of x (N,C,H,W), then [`batch_norm_relu`](Self::batch_norm_relu) of its result, as
    /// [`conv2d_batch_norm`](Self::conv2d_batch_norm); a residual has the result's shape.
    ///
    /// # Panics
    /// If a shape does not match.
    #[track_caller]
    pub fn conv2d_batch_norm_relu(
        &self,
        w: &Self,
        b: Option<&Self>,
        options: Conv2dOptions,
        [gamma, beta]: [&Self; 2],
        eps: f64,
        residual: Option<&Self>,
    ) -> (Self, BatchStatistics<T>) {
        let (y, moments) = self.conv2d_with_moments(w, b, options);
        y.batch_norm_relu_with(moments.as_ref(), [gamma, beta], eps, residual)
    }
}
