//! Convolution, pooling, resampling and normalization of image batches.

use super::{check_index, not_empty};
use crate::element::Float;
use crate::error::OrPanic;
use crate::geometry::ConvGeometry;
use crate::kernel::{BatchNormGradients, ByteKernels, Epilogue, ImageStep, MAX_IMAGE_STEPS, PoolIndices, Tap};
use crate::random::{Key, Purpose};
use crate::ranges;
use crate::shape::Shape;
use crate::shape_rules::{Conv2dOptions, Window};
use crate::tensor::TensorOf;

impl<T: Float> TensorOf<T> {
    /// The convolution (in deep learning: cross-correlation) of x (N,C,H,W) with w (O,C/groups,kh,kw), plus b (O)
    /// → (N,O,oh,ow).
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn conv2d(&self, w: &Self, b: Option<&Self>, options: Conv2dOptions) -> Self {
        self.conv2d_with(w, b, options, Epilogue::NONE)
    }

    /// [`conv2d`](Self::conv2d) with an epilogue; a residual has the result's shape.
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn conv2d_with(
        &self,
        w: &Self,
        b: Option<&Self>,
        options: Conv2dOptions,
        epilogue: Epilogue<'_, Self>,
    ) -> Self {
        let conv = ConvGeometry::new(self.shape(), w.shape(), b.map(Self::shape), options).or_panic();
        check_residual("conv2d", conv.y(), epilogue);
        T::conv2d(self, w, b, &conv, epilogue)
    }

    /// The adjoint of [`conv2d`](Self::conv2d) in its input: `self` is dy (N,O,oh,ow), w is (O,C/groups,kh,kw), the result
    /// is dx (N,C,H,W) with `hw` = [H, W].
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
        let conv = ConvGeometry::new(x, w_shape, None, options).or_panic();
        assert!(
            conv.y() == dy,
            "conv2d_input_gradient: dy has the wrong shape\n  dy = {dy}\n  y  = {}\n  rule: dy has y's shape",
            conv.y()
        );
        T::conv2d_input_gradient(self, w, &conv)
    }

    /// The adjoint of [`conv2d`](Self::conv2d) in its weight: `self` is x (N,C,H,W), dy is (N,O,oh,ow), the result is
    /// dw (O,C/groups,kh,kw) with `khw` = [kh, kw].
    ///
    /// # Panics
    /// If no convolution of x with these options has dy's shape.
    #[track_caller]
    #[must_use]
    pub fn conv2d_weight_gradient(&self, dy: &Self, khw: [usize; 2], options: Conv2dOptions) -> Self {
        let [dw, _] = self.conv2d_parameter_gradients(dy, khw, options, [true, false]);
        dw.expect("it was requested")
    }

    /// The requested gradients of [`conv2d`](Self::conv2d) in its weight and its bias: `self` is x (N,C,H,W), dy is (N,O,oh,ow);
    /// the results are dw (O,C/groups,kh,kw) with `khw` = [kh, kw] and db (O), the sum over each channel of dy.
    ///
    /// # Panics
    /// If no convolution of x with these options has dy's shape.
    #[track_caller]
    #[must_use]
    pub fn conv2d_parameter_gradients(
        &self,
        dy: &Self,
        khw: [usize; 2],
        options: Conv2dOptions,
        wanted: [bool; 2],
    ) -> [Option<Self>; 2] {
        let conv = of_parameter_gradients(self.shape(), dy.shape(), khw, options);
        T::conv2d_parameter_gradients(self, dy, &conv, wanted)
    }

    /// [`conv2d`](Self::conv2d) of x (N,C,H,W), relu and [`max_pool2d`](Self::max_pool2d) fused → (N,O,oh,ow) and the indices of
    /// the maxima. On the CPU, few channels with 2×2 windows of stride 2 are pooled before the convolution is written; otherwise, if w
    /// is small, a few images at a time stay in the cache.
    ///
    /// # Panics
    /// If the shapes do not match. `windows` are those of the convolution's result.
    #[track_caller]
    #[must_use]
    pub fn conv2d_relu_max_pool2d(
        &self,
        w: &Self,
        b: Option<&Self>,
        options: Conv2dOptions,
        windows: &[Vec<Window>; 2],
    ) -> (Self, PoolIndices) {
        let conv = ConvGeometry::new(self.shape(), w.shape(), b.map(Self::shape), options).or_panic();
        T::conv2d_relu_max_pool2d(self, w, b, &conv, windows)
    }

    /// The requested gradients of [`conv2d_relu_max_pool2d`](Self::conv2d_relu_max_pool2d) in x, w and b; `self` is
    /// x (N,C,H,W), dy has the result's shape.
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn conv2d_relu_max_pool2d_backward(
        &self,
        w: &Self,
        dy: &Self,
        indices: &PoolIndices,
        options: Conv2dOptions,
        wanted: [bool; 3],
    ) -> [Option<Self>; 3] {
        let conv = ConvGeometry::new(self.shape(), w.shape(), None, options).or_panic();
        let (y, pooled) = (conv.y(), indices.index().shape());
        assert!(
            dy.shape() == pooled && pooled[..2] == y[..2],
            "conv2d_relu_max_pool2d_backward: dy has the wrong shape\n  dy = {}\n  indices = {pooled}\n  convolution = {y}\n  rule: dy has the shape of the indices",
            dy.shape()
        );
        T::conv2d_relu_max_pool2d_backward([self, w, dy], indices, &conv, wanted)
    }

    /// The windows of a convolution of x (N,C,H,W) as columns → (N, C·kh·kw, oh·ow), with `khw` = [kh, kw]
    /// (`torch.nn.functional.unfold`).
    ///
    /// # Panics
    /// If the kernel is larger than the padded image.
    #[track_caller]
    #[must_use]
    pub fn im2col(&self, khw: [usize; 2], options: Conv2dOptions) -> Self {
        T::im2col(self, &ConvGeometry::of_windows(self.shape(), khw, options).or_panic())
    }

    /// The adjoint of [`im2col`](Self::im2col): `self` is dy (N, C·kh·kw, oh·ow), the result is dx (N,C,H,W) with
    /// `khw` = [kh, kw] and `hw` = [H, W]. Overlapping windows are added (`torch.nn.functional.fold`).
    ///
    /// # Panics
    /// If dy does not have the shape of the result of `im2col`.
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
        let conv = ConvGeometry::of_windows(x, khw, options).or_panic();
        let columns = Shape::from([x[0], x[1] * cells, conv.ohw().iter().product()]);
        assert!(
            columns == dy,
            "col2im: dy has the wrong shape\n  dy      = {dy}\n  columns = {columns}\n  rule: dy has the columns' shape"
        );
        T::col2im(self, &conv)
    }

    /// The maximum of each window of x (N,C,H,W), and its index. [`crate::shape_rules::pool2d`] and
    /// [`crate::shape_rules::adaptive_pool2d`] create windows.
    #[must_use]
    pub fn max_pool2d(&self, windows: &[Vec<Window>; 2]) -> (Self, PoolIndices) {
        T::max_pool2d(self, windows)
    }

    /// relu and [`max_pool2d`](Self::max_pool2d) fused: where a maximum is not above 0 its index is −1 and the result is 0, or
    /// NaN for NaN.
    #[must_use]
    pub fn relu_max_pool2d(&self, windows: &[Vec<Window>; 2]) -> (Self, PoolIndices) {
        T::relu_max_pool2d(self, windows)
    }

    /// The elements of each plane of x (N,C,H,W) at the indices of [`max_pool2d`](Self::max_pool2d); 0 where the index is −1.
    ///
    /// # Panics
    /// If x is smaller than the pooled input.
    #[must_use]
    pub fn gather2d(&self, indices: &PoolIndices) -> Self {
        T::gather2d(self, indices)
    }

    /// The adjoint of [`gather2d`](Self::gather2d), with `hw` = [H, W]; `self` is dy.
    ///
    /// # Panics
    /// If dy does not have the shape of the indices, or `hw` is smaller than the pooled input.
    #[track_caller]
    #[must_use]
    pub fn scatter2d(&self, indices: &PoolIndices, hw: [usize; 2]) -> Self {
        let shape = indices.index().shape();
        assert!(
            self.shape() == shape,
            "scatter2d: dy has the wrong shape\n  dy = {}\n  indices = {shape}\n  rule: dy has the shape of the indices",
            self.shape()
        );
        T::scatter2d(self, indices, hw)
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

    /// Resamples x (N,C,H,W): each output row and column is a weighted sum of two of x.
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

    /// Batch normalization of x (N,C,…) with its own statistics: `γ·(x − mean)/√(var + ε) + β`, γ and β (C), with an epilogue
    /// in the same pass; also the mean, the biased variance and 1/√(var + ε), each (C).
    ///
    /// # Panics
    /// If x has fewer than two axes or no elements, a shape does not match, or ε is negative or not finite.
    #[track_caller]
    pub fn batch_norm(&self, gamma: &Self, beta: &Self, eps: f64, epilogue: Epilogue<'_, Self>) -> (Self, [Self; 3]) {
        ranges::check("batch_norm", "eps", eps, ranges::NOT_NEGATIVE);
        not_empty("batch_norm", self);
        check_channels(self.shape(), &[("gamma", gamma), ("beta", beta)]);
        check_residual("batch_norm", self.shape(), epilogue);
        T::batch_norm(self, gamma, beta, eps, epilogue)
    }

    /// `(x − mean) · scale + shift` per channel, with an epilogue in the same pass: x (N,C,…), the others (C).
    ///
    /// # Panics
    /// If a shape does not match.
    #[track_caller]
    #[must_use]
    pub fn batch_norm_apply(&self, mean: &Self, scale: &Self, shift: &Self, epilogue: Epilogue<'_, Self>) -> Self {
        check_channels(self.shape(), &[("mean", mean), ("scale", scale), ("shift", shift)]);
        check_residual("batch_norm", self.shape(), epilogue);
        T::batch_norm_apply(self, mean, scale, shift, epilogue)
    }

    /// The gradients (dx, dγ, dβ, dr) of batch normalization with the batch's own statistics; `self` is x (N,C,…). If relu was
    /// applied, y is its result; `residual` requests dr, the gradient of the residual.
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
        check_channels(x, &[("mean", mean), ("istd", istd), ("gamma", gamma)]);
        T::batch_norm_backward(dy, self, mean, istd, gamma, y, residual)
    }

    /// Updates the running mean, `self`, and the running variance in place: `running = (1 − share)·running + share·batch`. The
    /// batch's variance is first multiplied by `correction`. All are (C).
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

impl TensorOf<u8> {
    /// A batch of some of these images (N,C,H,W): `samples` (n) → (n,C,H,W). The steps are applied to each image, then its bytes
    /// are mapped through the lookup table of their channel, or the only table. The random numbers of a step are a function of
    /// the key, the step's purpose and the sample.
    ///
    /// # Panics
    /// If there are more steps than [`MAX_IMAGE_STEPS`], if there is neither one table nor one per channel, or if a sample is
    /// out of range.
    #[track_caller]
    #[must_use]
    pub fn image_batch(
        &self,
        samples: &TensorOf<i32>,
        tables: &[[f32; 256]],
        steps: &[(ImageStep, Purpose)],
        key: Key,
    ) -> TensorOf<f32> {
        let shape = self.shape();
        assert!(
            shape.rank() == 4 && samples.rank() == 1,
            "image_batch: images (N,C,H,W) and samples (n) have four axes and one\n  images = {shape}\n  samples = {}",
            samples.shape()
        );
        assert!(
            steps.len() <= MAX_IMAGE_STEPS && [1, shape[1]].contains(&tables.len()),
            "image_batch: {} steps and {} tables for images {shape}\n  rule: at most {MAX_IMAGE_STEPS} steps, one table or one for each channel",
            steps.len(),
            tables.len()
        );
        check_index("image_batch", samples, shape[0]);
        u8::image_batch(self, samples, tables, steps, key)
    }
}

/// The geometry of the convolution of x; panics unless its result has dy's shape.
#[track_caller]
fn of_parameter_gradients(x: Shape, dy: Shape, khw: [usize; 2], options: Conv2dOptions) -> ConvGeometry {
    assert!(
        x.rank() == 4 && dy.rank() == 4 && options.groups > 0,
        "conv2d_parameter_gradients: x (N,C,H,W) and dy (N,O,oh,ow) have four axes\n  x = {x}\n  dy = {dy}"
    );
    let w = Shape::from([dy[1], x[1] / options.groups, khw[0], khw[1]]);
    let conv = ConvGeometry::new(x, w, None, options).or_panic();
    assert!(
        conv.y() == dy,
        "conv2d_parameter_gradients: dy has the wrong shape\n  dy = {dy}\n  y  = {}\n  rule: dy has y's shape",
        conv.y()
    );
    conv
}

/// Panics unless x is (N,C,…) and each part is (C).
#[track_caller]
fn check_channels<T: Float>(x: Shape, parts: &[(&str, &TensorOf<T>)]) {
    for (name, part) in parts {
        assert!(
            x.rank() >= 2 && part.shape() == [x[1]],
            "batch_norm: {name} has shape {}, the input (N,C,…) {x}\n  rule: one number for each channel",
            part.shape()
        );
    }
}

/// Panics unless a residual has the shape of the result.
#[track_caller]
fn check_residual<T: Float>(op: &str, y: Shape, epilogue: Epilogue<'_, TensorOf<T>>) {
    if let Some(residual) = epilogue.residual {
        assert!(
            y == residual.shape(),
            "{op}: shapes differ\n  y        = {y}\n  residual = {}\n  rule: a residual has the result's shape",
            residual.shape()
        );
    }
}
