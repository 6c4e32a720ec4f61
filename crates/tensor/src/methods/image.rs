//! Convolution, pooling, resampling and normalization of image batches.

use super::not_empty;
use crate::element::Float;
use crate::error::OrPanic;
use crate::kernel::{BatchNormGradients, BatchNormThen, Moments, PoolPlaces, Tap};
use crate::shape::Shape;
use crate::shape_rules::{self, Conv2dOptions, Window};
use crate::tensor::TensorOf;

impl<T: Float> TensorOf<T> {
    /// The convolution (cross-correlation, as everywhere in deep learning) of x (N,C,H,W) with w (O,C/groups,kh,kw),
    /// plus b (O) → (N,O,oh,ow).
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn conv2d(&self, w: &Self, b: Option<&Self>, options: Conv2dOptions) -> Self {
        shape_rules::conv2d(self.shape(), w.shape(), b.map(Self::shape), options).or_panic();
        T::conv2d(self, w, b, options)
    }

    /// [`conv2d`](Self::conv2d), and for [`batch_norm_with`](Self::batch_norm_with) what the kernel learned on the way about
    /// the result's channels: `None` on the processor, and of shapes that a GPU splits or that do not suit its tensor cores.
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    pub fn conv2d_with_moments(
        &self,
        w: &Self,
        b: Option<&Self>,
        options: Conv2dOptions,
    ) -> (Self, Option<Moments<T>>) {
        shape_rules::conv2d(self.shape(), w.shape(), b.map(Self::shape), options).or_panic();
        T::conv2d_with_moments(self, w, b, options)
    }

    /// The adjoint of [`conv2d`](Self::conv2d) in its input: this is dy (N,O,oh,ow), w (O,C/groups,kh,kw), the result
    /// dx (N,C,H,W) with `hw` = [H, W].
    ///
    /// # Panics
    /// If no convolution with these options maps the result's shape to dy's.
    #[track_caller]
    #[must_use]
    pub fn conv2d_input_gradient(&self, w: &Self, hw: [usize; 2], options: Conv2dOptions) -> Self {
        let (dy, w_shape) = (self.shape(), w.shape());
        assert!(
            dy.rank() == 4 && w_shape.rank() == 4,
            "conv2d_input_gradient: dy (N,O,oh,ow) and weight (O,C/g,kh,kw) have four axes\n  dy = {dy}\n  weight = {w_shape}"
        );
        let x = Shape::from([dy[0], w_shape[1] * options.groups, hw[0], hw[1]]);
        let forward = shape_rules::conv2d(x, w_shape, None, options).or_panic();
        assert!(
            forward == dy,
            "conv2d_input_gradient: dy does not fit\n  dy = {dy}\n  y  = {forward}\n  rule: dy has y's shape"
        );
        T::conv2d_input_gradient(self, w, hw, options)
    }

    /// The adjoint of [`conv2d`](Self::conv2d) in its weight: this is x (N,C,H,W), dy (N,O,oh,ow), the result
    /// dw (O,C/groups,kh,kw) with `khw` = [kh, kw].
    ///
    /// # Panics
    /// If no convolution of x with these options has dy's shape.
    #[track_caller]
    #[must_use]
    pub fn conv2d_weight_gradient(&self, dy: &Self, khw: [usize; 2], options: Conv2dOptions) -> Self {
        check_weight_gradient(self.shape(), dy.shape(), khw, options);
        T::conv2d_weight_gradient(self, dy, khw, options)
    }

    /// [`conv2d_weight_gradient`](Self::conv2d_weight_gradient), and the sum of each channel of dy, (O), which is the gradient of
    /// a bias: `None` where it is not to be had along the way, as on the processor.
    ///
    /// # Panics
    /// If no convolution of x with these options has dy's shape.
    #[track_caller]
    #[must_use]
    pub fn conv2d_weight_gradient_with_sums(
        &self,
        dy: &Self,
        khw: [usize; 2],
        options: Conv2dOptions,
    ) -> (Self, Option<Self>) {
        check_weight_gradient(self.shape(), dy.shape(), khw, options);
        T::conv2d_weight_gradient_with_sums(self, dy, khw, options)
    }

    /// [`conv2d`](Self::conv2d) of x (N,C,H,W), relu and [`max_pool2d`](Self::max_pool2d) in one, a few images at a time
    /// where w is small: (N,O,oh,ow), and where the maxima were.
    ///
    /// # Panics
    /// If the shapes do not match. Windows have to be of the convolution's result.
    #[track_caller]
    #[must_use]
    pub fn conv2d_relu_max_pool2d(
        &self,
        w: &Self,
        b: Option<&Self>,
        options: Conv2dOptions,
        windows: &[Vec<Window>; 2],
    ) -> (Self, PoolPlaces) {
        shape_rules::conv2d(self.shape(), w.shape(), b.map(Self::shape), options).or_panic();
        T::conv2d_relu_max_pool2d(self, w, b, options, windows)
    }

    /// The gradients of x, w and b of [`conv2d_relu_max_pool2d`](Self::conv2d_relu_max_pool2d), those that are wanted; this
    /// is x (N,C,H,W), dy has the result's shape.
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn conv2d_relu_max_pool2d_backward(
        &self,
        w: &Self,
        dy: &Self,
        places: &PoolPlaces,
        options: Conv2dOptions,
        wanted: [bool; 3],
    ) -> [Option<Self>; 3] {
        let y = shape_rules::conv2d(self.shape(), w.shape(), None, options).or_panic();
        let pooled = places.index().shape();
        assert!(
            dy.shape() == pooled && pooled[..2] == y[..2],
            "conv2d_relu_max_pool2d_backward: dy does not fit\n  dy = {}\n  places = {pooled}\n  convolution = {y}\n  rule: dy has one number for each place",
            dy.shape()
        );
        T::conv2d_relu_max_pool2d_backward([self, w, dy], places, options, wanted)
    }

    /// The windows of a convolution of x (N,C,H,W) as columns: (N, C·kh·kw, oh·ow), with `khw` = [kh, kw]
    /// (`torch.nn.functional.unfold`).
    ///
    /// # Panics
    /// If the kernel is larger than the padded image.
    #[track_caller]
    #[must_use]
    pub fn im2col(&self, khw: [usize; 2], options: Conv2dOptions) -> Self {
        shape_rules::im2col(self.shape(), khw, options).or_panic();
        T::im2col(self, khw, options)
    }

    /// The adjoint of [`im2col`](Self::im2col): this is dy (N, C·kh·kw, oh·ow), the result dx (N,C,H,W) with
    /// `khw` = [kh, kw] and `hw` = [H, W]. Overlapping windows add up (`torch.nn.functional.fold`).
    ///
    /// # Panics
    /// If dy has not the shape that `im2col` gives for such images.
    #[track_caller]
    #[must_use]
    pub fn col2im(&self, khw: [usize; 2], hw: [usize; 2], options: Conv2dOptions) -> Self {
        let dy = self.shape();
        let cells = khw[0] * khw[1];
        assert!(
            dy.rank() == 3 && cells > 0,
            "col2im: dy has shape {dy}, the kernel {khw:?}\n  rule: dy (N,C·kh·kw,oh·ow)"
        );
        let x = Shape::from([dy[0], dy[1] / cells, hw[0], hw[1]]);
        let columns = shape_rules::im2col(x, khw, options).or_panic();
        assert!(
            columns == dy,
            "col2im: dy does not fit\n  dy      = {dy}\n  columns = {columns}\n  rule: dy has the columns' shape"
        );
        T::col2im(self, khw, hw, options)
    }

    /// The maximum of each window of x (N,C,H,W), and where it was; with `relu`, maxima not above 0 become 0 and have no
    /// place. [`shape_rules::pool2d`] and [`shape_rules::adaptive_pool2d`] make windows.
    #[must_use]
    pub fn max_pool2d(&self, windows: &[Vec<Window>; 2], relu: bool) -> (Self, PoolPlaces) {
        T::max_pool2d(self, windows, relu)
    }

    /// The elements of each plane of x (N,C,H,W) at the places that [`max_pool2d`](Self::max_pool2d) gave; 0 for none.
    ///
    /// # Panics
    /// If x is smaller than what was pooled.
    #[must_use]
    pub fn gather2d(&self, places: &PoolPlaces) -> Self {
        T::gather2d(self, places)
    }

    /// The adjoint of [`gather2d`](Self::gather2d), with `hw` = [H, W].
    ///
    /// # Panics
    /// If this has not the shape of the places, or `hw` is smaller than what was pooled.
    #[track_caller]
    #[must_use]
    pub fn scatter2d(&self, places: &PoolPlaces, hw: [usize; 2]) -> Self {
        let shape = places.index().shape();
        assert!(
            self.shape() == shape,
            "scatter2d: dy does not fit\n  dy = {}\n  places = {shape}\n  rule: one number for each place",
            self.shape()
        );
        T::scatter2d(self, places, hw)
    }

    /// The mean of each window of x (N,C,H,W).
    #[must_use]
    pub fn avg_pool2d(&self, windows: &[Vec<Window>; 2]) -> Self {
        T::avg_pool2d(self, windows)
    }

    /// The adjoint of [`avg_pool2d`](Self::avg_pool2d), with `hw` = [H, W].
    #[must_use]
    pub fn avg_pool2d_adjoint(&self, windows: &[Vec<Window>; 2], hw: [usize; 2]) -> Self {
        T::avg_pool2d_adjoint(self, windows, hw)
    }

    /// Rows and columns as weighted sums of two of x (N,C,H,W).
    #[must_use]
    pub fn resample2d(&self, taps: &[Vec<Tap>; 2]) -> Self {
        T::resample2d(self, taps)
    }

    /// The adjoint of [`resample2d`](Self::resample2d), with `hw` = [H, W].
    #[must_use]
    pub fn resample2d_adjoint(&self, taps: &[Vec<Tap>; 2], hw: [usize; 2]) -> Self {
        T::resample2d_adjoint(self, taps, hw)
    }

    /// The mean and the biased variance of each channel of x (N,C,…), each (C).
    ///
    /// # Panics
    /// If x has fewer than two axes or no elements.
    #[track_caller]
    pub fn batch_norm_statistics(&self) -> (Self, Self) {
        not_empty("batch_norm", self);
        assert!(self.rank() >= 2, "batch_norm: the input (N,C,…) has at least two axes, not {}", self.shape());
        T::batch_norm_statistics(self)
    }

    /// Batch normalization of x (N,C,…) by its own statistics: `γ·(x − mean)/√(var + ε) + β`, γ and β (C), and what follows
    /// in the same pass; also the mean, the biased variance and 1/√(var + ε), each (C).
    ///
    /// # Panics
    /// If x has fewer than two axes or no elements, or a shape does not fit.
    #[track_caller]
    pub fn batch_norm(&self, gamma: &Self, beta: &Self, eps: f64, then: BatchNormThen<'_, T>) -> (Self, [Self; 3]) {
        not_empty("batch_norm", self);
        self.batch_norm_with(None, gamma, beta, eps, then)
    }

    /// [`batch_norm`](Self::batch_norm), that begins with what [`conv2d_with_moments`](Self::conv2d_with_moments) gave
    /// along with this x.
    ///
    /// # Panics
    /// As `batch_norm`, or if the moments are those of another shape.
    #[track_caller]
    pub fn batch_norm_with(
        &self,
        moments: Option<&Moments<T>>,
        gamma: &Self,
        beta: &Self,
        eps: f64,
        then: BatchNormThen<'_, T>,
    ) -> (Self, [Self; 3]) {
        let x = self.shape();
        not_empty("batch_norm", self);
        check_batch_norm(x, &[("gamma", gamma), ("beta", beta)], then);
        if let Some(moments) = moments {
            let of = moments.of;
            assert!(x == of, "batch_norm: the moments are not those of x\n  x = {x}\n  moments of {of}");
        }
        T::batch_norm(self, moments, gamma, beta, eps, then)
    }

    /// `(x − mean) · scale + shift`, one number each for a channel, and what follows in the same pass: x (N,C,…), the
    /// others (C).
    ///
    /// # Panics
    /// If a shape does not match.
    #[track_caller]
    #[must_use]
    pub fn batch_norm_apply(&self, mean: &Self, scale: &Self, shift: &Self, then: BatchNormThen<'_, T>) -> Self {
        check_batch_norm(self.shape(), &[("mean", mean), ("scale", scale), ("shift", shift)], then);
        T::batch_norm_apply(self, mean, scale, shift, then)
    }

    /// The gradients (dx, dγ, dβ, dr) of batch normalization with the batch's own statistics; this is x (N,C,…). After
    /// relu, y is what came out of it; then `residual` asks for the gradient of what was added before.
    ///
    /// # Panics
    /// If a shape does not match.
    #[track_caller]
    pub fn batch_norm_backward(
        &self,
        dy: &Self,
        mean: &Self,
        istd: &Self,
        gamma: &Self,
        y: Option<&Self>,
        residual: bool,
    ) -> BatchNormGradients<T> {
        let x = self.shape();
        for (name, other) in [("dy", Some(dy)), ("y ", y)] {
            let other = other.map_or(x, Self::shape);
            assert!(x == other, "batch_norm_backward: shapes differ\n  x  = {x}\n  {name} = {other}");
        }
        check_batch_norm(x, &[("mean", mean), ("istd", istd), ("gamma", gamma)], BatchNormThen::Nothing);
        T::batch_norm_backward(dy, self, mean, istd, gamma, y, residual)
    }

    /// Moves this running mean and a running variance by a `share` towards those of a batch, in place; the batch's
    /// variance is first multiplied by `correction`: all (C).
    ///
    /// # Panics
    /// If a shape differs.
    #[track_caller]
    pub fn batch_norm_track(
        &mut self,
        running_variance: &mut Self,
        mean: &Self,
        variance: &Self,
        share: f64,
        correction: f64,
    ) {
        let running = self.shape();
        for other in [running_variance.shape(), mean.shape(), variance.shape()] {
            assert!(
                running == other,
                "batch_norm_track: shapes differ\n  running mean = {running}\n  another      = {other}\n  rule: one number for each channel"
            );
        }
        T::batch_norm_track(self, running_variance, mean, variance, share, correction);
    }
}

/// Fails unless a convolution of x with these options has dy's shape.
#[track_caller]
fn check_weight_gradient(x: Shape, dy: Shape, khw: [usize; 2], options: Conv2dOptions) {
    assert!(
        x.rank() == 4 && dy.rank() == 4 && options.groups > 0,
        "conv2d_weight_gradient: x (N,C,H,W) and dy (N,O,oh,ow) have four axes\n  x = {x}\n  dy = {dy}"
    );
    let w = Shape::from([dy[1], x[1] / options.groups, khw[0], khw[1]]);
    let forward = shape_rules::conv2d(x, w, None, options).or_panic();
    assert!(
        forward == dy,
        "conv2d_weight_gradient: dy does not fit\n  dy = {dy}\n  y  = {forward}\n  rule: dy has y's shape"
    );
}

/// Fails unless x is (N,C,…), each part (C), and a residual has the shape of x.
#[track_caller]
fn check_batch_norm<T: Float>(x: Shape, parts: &[(&str, &TensorOf<T>)], then: BatchNormThen<'_, T>) {
    for (name, part) in parts {
        assert!(
            x.rank() >= 2 && part.shape() == [x[1]],
            "batch_norm: {name} has shape {}, the input (N,C,…) {x}\n  rule: one number for each channel",
            part.shape()
        );
    }
    if let BatchNormThen::AddRelu(residual) = then {
        assert!(
            x == residual.shape(),
            "batch_norm: shapes differ\n  x        = {x}\n  residual = {}\n  rule: a residual has x's shape",
            residual.shape()
        );
    }
}
