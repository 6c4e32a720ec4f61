//! The numeric methods of tensors: each checks its shapes by [`crate::shape_rules`] and calls its kernel.

use crate::element::{Element, Float};
use crate::error::OrPanic;
use crate::kernel::{AdamStep, Binary, Compare, ElementKernels, FloatKernels, SgdStep, Tap, Unary};
use crate::random::Key;
use crate::shape::{MAX_RANK, Shape};
use crate::shape_rules::{self, Conv2dOptions, Window};
use crate::tensor::TensorOf;

/// Which axes a reduction runs over: marks for each axis, from a list in which negative numbers count from the last;
/// an empty list means all.
#[track_caller]
fn marks(op: &str, shape: Shape, axes: &[isize]) -> [bool; MAX_RANK] {
    let mut marked = [axes.is_empty(); MAX_RANK];
    for &axis in axes {
        marked[shape_rules::axis(op, shape, axis).or_panic()] = true;
    }
    marked
}

/// Every axis of length 1 that `marked` names taken away, unless they are to be kept.
fn keep<T: Element>(y: TensorOf<T>, marked: &[bool], keepdim: bool) -> TensorOf<T> {
    if keepdim {
        return y;
    }
    let shape: Vec<usize> = y.shape().iter().zip(marked).filter(|&(_, &m)| !m).map(|(&d, _)| d).collect();
    y.reshape(shape)
}

/// Fails for an empty axis, along which there is no largest element.
#[track_caller]
fn not_empty<T: Element>(op: &str, x: &TensorOf<T>) {
    assert!(x.numel() > 0, "{op}: a tensor of shape {} has no elements\n  rule: at least one element", x.shape());
}

impl<T: Element> TensorOf<T> {
    /// 1 where `a op b`, else 0; operands broadcast.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    pub fn compare(&self, op: Compare, b: &Self) -> TensorOf<u8> {
        shape_rules::broadcast("compare", self.shape(), b.shape()).or_panic();
        T::compare(op, self, b)
    }

    /// `self` where the mask is not 0, else `b`; all three broadcast (`torch.where`).
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    #[must_use]
    pub fn select(&self, mask: &TensorOf<u8>, b: &Self) -> Self {
        let ab = shape_rules::broadcast("where", self.shape(), b.shape()).or_panic();
        shape_rules::broadcast("where", mask.shape(), ab).or_panic();
        T::select(mask, self, b)
    }

    /// The elements as `f32`.
    pub fn to_f32(&self) -> TensorOf<f32> {
        ElementKernels::to_f32(self)
    }

    /// The elements as `f64`.
    pub fn to_f64(&self) -> TensorOf<f64> {
        ElementKernels::to_f64(self)
    }

    /// The elements as `i32`, rounded towards zero.
    pub fn to_i32(&self) -> TensorOf<i32> {
        ElementKernels::to_i32(self)
    }

    /// The elements as `u8`, rounded towards zero and cut off at 0 and 255.
    pub fn to_u8(&self) -> TensorOf<u8> {
        ElementKernels::to_u8(self)
    }

    /// The largest element along some axes (negative ones count from the last, none means all). NaN wins.
    ///
    /// # Panics
    /// If an axis does not exist or there are no elements.
    #[track_caller]
    #[must_use]
    pub fn max(&self, axes: &[isize], keepdim: bool) -> Self {
        not_empty("max", self);
        let marked = marks("max", self.shape(), axes);
        keep(ElementKernels::max(self, &marked[..self.rank()]), &marked, keepdim)
    }

    /// The smallest element along some axes (negative ones count from the last, none means all). NaN wins.
    ///
    /// # Panics
    /// If an axis does not exist or there are no elements.
    #[track_caller]
    #[must_use]
    pub fn min(&self, axes: &[isize], keepdim: bool) -> Self {
        not_empty("min", self);
        let marked = marks("min", self.shape(), axes);
        keep(ElementKernels::min(self, &marked[..self.rank()]), &marked, keepdim)
    }

    /// The index of the first largest element along an axis, which disappears. The first NaN wins.
    ///
    /// # Panics
    /// If the axis does not exist or there are no elements.
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> TensorOf<i32> {
        not_empty("argmax", self);
        let axis = self.axis("argmax", axis);
        T::argmax(self, axis).squeeze(axis as isize)
    }

    /// The `k` largest elements along an axis, in descending order, and their indices; of equal ones the first comes first.
    ///
    /// # Panics
    /// If the axis does not exist or has fewer than `k` elements.
    #[track_caller]
    pub fn topk(&self, k: usize, axis: isize) -> (Self, TensorOf<i32>) {
        let axis = self.axis("topk", axis);
        let len = self.shape()[axis];
        assert!(
            k <= len,
            "topk: the {k} largest of {len} elements\n  x = {}\n  rule: k ≤ x.shape[{axis}]",
            self.shape()
        );
        T::topk(self, k, axis)
    }

    /// `y[.., i, ..] = x[.., index[.., i, ..], ..]` along an axis; `index` has x's shape but for the axis (`torch.gather`).
    ///
    /// # Panics
    /// If the shapes do not fit or an index lies outside of the axis.
    #[track_caller]
    #[must_use]
    pub fn gather(&self, axis: isize, index: &TensorOf<i32>) -> Self {
        let axis = self.axis("gather", axis);
        shape_rules::gather("gather", self.shape(), axis, index.shape()).or_panic();
        check_index("gather", index, self.shape()[axis]);
        T::gather(self, axis, index)
    }

    /// Tensors put one behind the other along an axis.
    ///
    /// # Panics
    /// If there is none, or two differ along another axis.
    #[track_caller]
    pub fn concat(parts: &[&Self], axis: isize) -> Self {
        let shapes: Vec<Shape> = parts.iter().map(|part| part.shape()).collect();
        let mut out = Self::zeros(shape_rules::concat(&shapes, axis).or_panic());
        let mut start = 0;
        for part in parts {
            let len = part.shape()[out.axis("concat", axis)];
            out.assign(axis, start..start + len, part);
            start += len;
        }
        out
    }

    /// `value` added around the tensor: `widths[axis]` = (before, after).
    ///
    /// # Panics
    /// If there is not one pair for each axis.
    #[track_caller]
    #[must_use]
    pub fn pad(&self, widths: &[(usize, usize)], value: T) -> Self {
        let shape = self.shape();
        assert!(
            widths.len() == shape.rank(),
            "pad: {} widths for {} axes\n  x = {shape}\n  rule: one (before, after) for each axis",
            widths.len(),
            shape.rank()
        );
        let wide: Vec<usize> = shape.iter().zip(widths).map(|(n, (before, after))| before + n + after).collect();
        let mut out = Self::full(wide, value);
        out.assign_box(widths, self);
        out
    }
}

/// Fails for an index outside of `0..len`.
#[track_caller]
fn check_index(op: &str, index: &TensorOf<i32>, len: usize) {
    if index.numel() == 0 {
        return;
    }
    let (low, high) =
        (ElementKernels::min(index, &ALL[..index.rank()]), ElementKernels::max(index, &ALL[..index.rank()]));
    let (low, high) = (low.item(), high.item());
    let worst = if low < 0 { low } else { high };
    assert!(
        low >= 0 && (high as usize) < len,
        "{op}: index {worst} lies outside of an axis of length {len}\n  rule: 0 ≤ index < {len}"
    );
}

const ALL: [bool; MAX_RANK] = [true; MAX_RANK];

impl<T: Float> TensorOf<T> {
    /// `op(x)` for each element.
    #[must_use]
    pub fn unary(&self, op: Unary) -> Self {
        T::unary(op, self)
    }

    /// `op(a, b)` for each pair of elements, with broadcasting.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    #[must_use]
    pub fn binary(&self, op: Binary, b: &Self) -> Self {
        shape_rules::broadcast(op.name(), self.shape(), b.shape()).or_panic();
        T::binary(op, self, b)
    }

    /// `self += x`, in place where nobody else holds the storage.
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    pub fn add_assign(&mut self, x: &Self) {
        assert!(self.shape() == x.shape(), "add_assign: shapes differ\n  y = {}\n  x = {}", self.shape(), x.shape());
        <T as FloatKernels>::add_assign(self, x);
    }

    /// The sum along some axes (negative ones count from the last, none means all).
    ///
    /// # Panics
    /// If an axis does not exist.
    #[track_caller]
    #[must_use]
    pub fn sum(&self, axes: &[isize], keepdim: bool) -> Self {
        let marked = marks("sum", self.shape(), axes);
        keep(T::sum(self, &marked[..self.rank()]), &marked, keepdim)
    }

    /// The mean along some axes (negative ones count from the last, none means all).
    ///
    /// # Panics
    /// If an axis does not exist.
    #[track_caller]
    #[must_use]
    pub fn mean(&self, axes: &[isize], keepdim: bool) -> Self {
        let sum = self.sum(axes, keepdim);
        let count = self.numel() as f64 / sum.numel().max(1) as f64;
        sum.unary(Unary::Mul(1.0 / count))
    }

    /// The variance along some axes: `Σ (x − mean)² / (n − correction)`; correction 1 is the unbiased estimate.
    ///
    /// # Panics
    /// If an axis does not exist.
    #[track_caller]
    #[must_use]
    pub fn var(&self, axes: &[isize], correction: usize, keepdim: bool) -> Self {
        let away = self.binary(Binary::Sub, &self.mean(axes, true));
        let sum = away.unary(Unary::Square).sum(axes, keepdim);
        let count = self.numel() as f64 / sum.numel().max(1) as f64;
        sum.unary(Unary::Mul(1.0 / (count - correction as f64)))
    }

    /// The adjoint of [`gather`](Self::gather): zeros of `shape` to which this tensor is added at `index` along an axis.
    ///
    /// # Panics
    /// If the shapes do not fit or an index lies outside of the axis.
    #[track_caller]
    #[must_use]
    pub fn scatter_add(&self, axis: isize, index: &TensorOf<i32>, shape: impl Into<Shape>) -> Self {
        let (axis, shape) = (self.axis("scatter_add", axis), shape.into());
        shape_rules::gather("scatter_add", shape, axis, index.shape()).or_panic();
        shape_rules::gather("scatter_add", shape, axis, self.shape()).or_panic();
        assert!(
            self.shape() == index.shape(),
            "scatter_add: x and index differ\n  x     = {}\n  index = {}",
            self.shape(),
            index.shape()
        );
        check_index("scatter_add", index, shape[axis]);
        T::scatter_add(self, axis, index, shape)
    }

    /// The matrix product of the last two axes; leading axes broadcast: (…,M,K) · (…,K,N) → (…,M,N).
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    #[must_use]
    pub fn matmul(&self, b: &Self) -> Self {
        let shape = shape_rules::matmul(self.shape(), b.shape()).or_panic();
        let lead = &shape[..shape.rank() - 2];
        let widen = |x: &Self| {
            let s = x.shape();
            x.broadcast_to([lead, &s[s.rank() - 2..]].concat())
        };
        T::matmul(&widen(self), &widen(b))
    }

    /// `x · wᵀ + b`: x (N,I), w (O,I), b (O) → (N,O).
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    #[must_use]
    pub fn linear(&self, w: &Self, b: Option<&Self>) -> Self {
        shape_rules::linear(self.shape(), w.shape(), b.map(Self::shape)).or_panic();
        T::linear(self, w, b)
    }

    /// The convolution (cross-correlation, as everywhere in deep learning) of x (N,C,H,W) with w (O,C/groups,kh,kw),
    /// plus b (O) → (N,O,oh,ow).
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    #[must_use]
    pub fn conv2d(&self, w: &Self, b: Option<&Self>, options: Conv2dOptions) -> Self {
        shape_rules::conv2d(self.shape(), w.shape(), b.map(Self::shape), options).or_panic();
        T::conv2d(self, w, b, options)
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
        let (x, dy_shape) = (self.shape(), dy.shape());
        assert!(
            x.rank() == 4 && dy_shape.rank() == 4 && options.groups > 0,
            "conv2d_weight_gradient: x (N,C,H,W) and dy (N,O,oh,ow) have four axes\n  x = {x}\n  dy = {dy_shape}"
        );
        let w = Shape::from([dy_shape[1], x[1] / options.groups, khw[0], khw[1]]);
        let forward = shape_rules::conv2d(x, w, None, options).or_panic();
        assert!(
            forward == dy_shape,
            "conv2d_weight_gradient: dy does not fit\n  dy = {dy_shape}\n  y  = {forward}\n  rule: dy has y's shape"
        );
        T::conv2d_weight_gradient(self, dy, khw, options)
    }

    /// The windows of a convolution of x (N,C,H,W) as columns: (N, C·kh·kw, oh·ow), with `khw` = [kh, kw]
    /// (`torch.nn.functional.unfold`).
    ///
    /// # Panics
    /// If the kernel does not fit into the padded image.
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

    /// The maximum of each window of x (N,C,H,W), and where it was, as `row·W + column` of its plane.
    /// [`shape_rules::pool2d`] and [`shape_rules::adaptive_pool2d`] make windows.
    #[must_use]
    pub fn max_pool2d(&self, windows: &[Vec<Window>; 2]) -> (Self, TensorOf<i32>) {
        T::max_pool2d(self, windows)
    }

    /// The elements of each plane of x (N,C,H,W) at `index` (N,C,oh,ow), as [`max_pool2d`](Self::max_pool2d) gives it.
    #[must_use]
    pub fn gather2d(&self, index: &TensorOf<i32>) -> Self {
        check_index("gather2d", index, self.shape()[2] * self.shape()[3]);
        T::gather2d(self, index)
    }

    /// The adjoint of [`gather2d`](Self::gather2d), with `hw` = [H, W].
    #[must_use]
    pub fn scatter2d(&self, index: &TensorOf<i32>, hw: [usize; 2]) -> Self {
        check_index("scatter2d", index, hw[0] * hw[1]);
        T::scatter2d(self, index, hw)
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

    /// `x − max − ln Σ exp(x − max)` along an axis.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    #[must_use]
    pub fn log_softmax(&self, axis: isize) -> Self {
        T::log_softmax(self, self.axis("log_softmax", axis))
    }

    /// `dx = dy − exp(y) · Σ dy` along an axis: this is y, the result of [`log_softmax`](Self::log_softmax).
    ///
    /// # Panics
    /// If there is no such axis or the shapes differ.
    #[track_caller]
    #[must_use]
    pub fn log_softmax_backward(&self, dy: &Self, axis: isize) -> Self {
        assert!(
            self.shape() == dy.shape(),
            "log_softmax_backward: shapes differ\n  y  = {}\n  dy = {}",
            self.shape(),
            dy.shape()
        );
        T::log_softmax_backward(dy, self, self.axis("log_softmax_backward", axis))
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

    /// `(x − mean) · scale + shift`, one number each for a channel: x (N,C,…), the others (C).
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    #[must_use]
    pub fn batch_norm_apply(&self, mean: &Self, scale: &Self, shift: &Self) -> Self {
        let x = self.shape();
        for (name, part) in [("mean", mean), ("scale", scale), ("shift", shift)] {
            assert!(
                x.rank() >= 2 && part.shape() == [x[1]],
                "batch_norm: {name} has shape {}, the input (N,C,…) {x}\n  rule: one number for each channel",
                part.shape()
            );
        }
        T::batch_norm_apply(self, mean, scale, shift)
    }

    /// The gradients (dx, dγ, dβ) of batch normalisation with the batch's own statistics; this is x (N,C,…).
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn batch_norm_backward(&self, dy: &Self, mean: &Self, istd: &Self, gamma: &Self) -> (Self, Self, Self) {
        let x = self.shape();
        assert!(x == dy.shape(), "batch_norm_backward: shapes differ\n  x  = {x}\n  dy = {}", dy.shape());
        for (name, part) in [("mean", mean), ("istd", istd), ("gamma", gamma)] {
            assert!(
                part.shape() == [x[1]],
                "batch_norm_backward: {name} has shape {}, the input (N,C,…) {x}",
                part.shape()
            );
        }
        T::batch_norm_backward(dy, self, mean, istd, gamma)
    }

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
        parameter.shape() == gradient.shape(),
        "{op}: shapes differ\n  parameter = {}\n  gradient  = {}",
        parameter.shape(),
        gradient.shape()
    );
}
