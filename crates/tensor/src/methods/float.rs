//! Elementwise functions, reductions and products of floats.

use super::{check_index, keep, marks, outside};
use crate::element::Float;
use crate::error::OrPanic;
use crate::kernel::{Binary, Compare, FloatKernels, Unary};
use crate::shape::Shape;
use crate::shape_rules;
use crate::tensor::TensorOf;

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
        if self.layout().shape_ref() != b.layout().shape_ref() {
            shape_rules::broadcast(op.name(), self.shape(), b.shape()).or_panic();
        }
        T::binary(op, self, b)
    }

    /// `self += x`, in place if the storage is exclusive.
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    pub fn add_assign(&mut self, x: &Self) {
        assert!(
            self.layout().shape_ref() == x.layout().shape_ref(),
            "add_assign: shapes differ\n  y = {}\n  x = {}",
            self.shape(),
            x.shape()
        );
        <T as FloatKernels>::add_assign(self, x);
    }

    /// The sum along some axes (negative axes count from the last, none means all).
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn sum(&self, axes: &[isize], keepdim: bool) -> Self {
        let marked = marks("sum", self.shape(), axes);
        keep(T::sum(self, &marked[..self.rank()]), &marked, keepdim)
    }

    /// The mean along some axes (negative axes count from the last, none means all).
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn mean(&self, axes: &[isize], keepdim: bool) -> Self {
        let sum = self.sum(axes, keepdim);
        let count = self.numel() as f64 / sum.numel().max(1) as f64;
        sum.unary(Unary::Div(count))
    }

    /// The variance along some axes: `Σ (x − mean)² / max(n − correction, 0)`; correction 1 is the unbiased estimate. As in
    /// `PyTorch`, it is infinite if the correction is n or more and the elements differ, and NaN if they are equal.
    ///
    /// The differences are centered twice. The mean is rounded to the element type, so the differences from it have a mean
    /// of their own, whose square would be an error: at a mean of 1e6, up to 0.001 in `f32` (the corrected two-pass
    /// algorithm of Chan, Golub, LeVeque: "Algorithms for computing the sample variance", 1983).
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn var(&self, axes: &[isize], correction: usize, keepdim: bool) -> Self {
        let centered = |x: &Self| x.binary(Binary::Sub, &x.mean(axes, true));
        let sum = centered(&centered(self)).unary(Unary::Square).sum(axes, keepdim);
        let count = self.numel() as f64 / sum.numel().max(1) as f64;
        sum.unary(Unary::Div((count - correction as f64).max(0.0)))
    }

    /// The standard deviation along some axes: the root of [`var`](Self::var).
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn std(&self, axes: &[isize], correction: usize, keepdim: bool) -> Self {
        self.var(axes, correction, keepdim).unary(Unary::Sqrt)
    }

    /// `ln Σ exp(x)` along some axes (negative axes count from the last, none means all), without overflow: `m + ln Σ exp(x −
    /// m)`, where m is the maximum, or 0 if that is infinite. −∞ of no elements.
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn logsumexp(&self, axes: &[isize], keepdim: bool) -> Self {
        if self.numel() == 0 {
            return self.sum(axes, keepdim).unary(Unary::Log);
        }
        let (max, zero) = (self.max(axes, true), Self::scalar(T::ZERO));
        let infinite = max.unary(Unary::Abs).compare(Compare::Equal, &Self::scalar(T::HIGHEST));
        let max = zero.select(&infinite, &max);
        let sum = self.binary(Binary::Sub, &max).unary(Unary::Exp).sum(axes, true);
        let marked = marks("logsumexp", self.shape(), axes);
        keep(sum.unary(Unary::Log).binary(Binary::Add, &max), &marked, keepdim)
    }

    /// The adjoint of [`gather`](Self::gather): adds this tensor at `index` along an axis to zeros of `shape`.
    ///
    /// # Panics
    /// If the shapes do not match or an index is out of range.
    #[track_caller]
    #[must_use]
    pub fn scatter_add(&self, axis: isize, index: &TensorOf<i32>, shape: impl Into<Shape>) -> Self {
        let (axis, shape) = (self.axis("scatter_add", axis), shape.into());
        shape_rules::gather("scatter_add", shape, axis, index.shape()).or_panic();
        shape_rules::gather("scatter_add", shape, axis, self.shape()).or_panic();
        assert!(
            self.shape() == index.shape(),
            "scatter_add: shapes differ\n  x     = {}\n  index = {}",
            self.shape(),
            index.shape()
        );
        check_index("scatter_add", index, shape[axis]);
        T::scatter_add(self, axis, index, shape)
    }

    /// The matrix product of the last two axes; leading axes broadcast: (…,M,K) · (…,K,N) → (…,M,N). A vector on either
    /// side is a row or a column without its axis: (K) · (K) → (), (K) · (…,K,N) → (…,N), (…,M,K) · (K) → (…,M).
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn matmul(&self, b: &Self) -> Self {
        let (left, right) = (self.layout().shape_ref(), b.layout().shape_ref());
        if left.rank() == 2 && right.rank() == 2 && left[1] == right[0] {
            return T::matmul(self, b);
        }
        let shape = shape_rules::matmul(*left, *right).or_panic();
        if left.rank() == 1 || right.rank() == 1 {
            let a = if left.rank() == 1 { self.unsqueeze(0) } else { self.clone() };
            let b = if right.rank() == 1 { b.unsqueeze(1) } else { b.clone() };
            return a.matmul(&b).reshape(shape);
        }
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
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn linear(&self, w: &Self, b: Option<&Self>) -> Self {
        shape_rules::linear(self.shape(), w.shape(), b.map(Self::shape)).or_panic();
        T::linear(self, w, b)
    }

    /// The requested gradients of [`linear`](Self::linear) in its weight and its bias. `self` is x (N,I), dy is (N,O); the
    /// results are `dw = dyᵀ · x` (O,I) and `db = Σₙ dy` (O).
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn linear_parameter_gradients(&self, dy: &Self, wanted: [bool; 2]) -> [Option<Self>; 2] {
        let (x, dy_shape) = (self.shape(), dy.shape());
        assert!(
            x.rank() == 2 && dy_shape.rank() == 2 && x[0] == dy_shape[0],
            "linear_parameter_gradients: x and dy do not match\n  x (N,I)  = {x}\n  dy (N,O) = {dy_shape}\n  rule: x.N == dy.N"
        );
        T::linear_parameter_gradients(self, dy, wanted)
    }

    /// `x − max − ln Σ exp(x − max)` along an axis.
    ///
    /// # Panics
    /// If the axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn log_softmax(&self, axis: isize) -> Self {
        T::log_softmax(self, self.axis("log_softmax", axis))
    }

    /// `dx = dy − exp(y) · Σ dy` along an axis; `self` is y, the result of [`log_softmax`](Self::log_softmax).
    ///
    /// # Panics
    /// If the axis is out of range or the shapes differ.
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

    /// The losses `−ln softmax(x)[label]`; `self` is the logits x (N,C,…), labels (N,…) are in 0..C. Also `max` and
    /// `ln Σ exp(x − max)` over the classes, for [`cross_entropy_backward`](Self::cross_entropy_backward); each (N,…).
    ///
    /// # Panics
    /// If the shapes do not match, the batch is empty or a label is out of range.
    #[track_caller]
    #[must_use]
    pub fn cross_entropy(&self, labels: &TensorOf<i32>) -> [Self; 3] {
        let (x, of_labels) = (self.shape(), labels.shape());
        assert!(
            x.rank() >= 2 && [&x[..1], &x[2..]].concat() == *of_labels,
            "cross_entropy: labels have the wrong shape\n  logits (N,C,…) = {x}\n  labels (N,…)   = {of_labels}\n  rule: labels have the logits' shape without C"
        );
        assert!(
            labels.numel() > 0,
            "cross_entropy: the batch is empty\n  logits (N,C,…) = {x}\n  rule: at least one sample"
        );
        let classes = x[1];
        if let Some(worst) = outside(labels, classes) {
            panic!(
                "cross_entropy: label {worst} is out of range\n  logits (N,C,…) = {x}\n  rule: 0 ≤ label < C = {classes}"
            );
        }
        T::cross_entropy(self, labels)
    }

    /// `dx = dy · (softmax(x) − onehot(label))`; `self` is the logits x (N,C,…). dy, the labels, and max and ln as returned by
    /// [`cross_entropy`](Self::cross_entropy) are (N,…).
    ///
    /// # Panics
    /// If the shapes do not match or a label is out of range.
    #[track_caller]
    #[must_use]
    pub fn cross_entropy_backward(&self, dy: &Self, labels: &TensorOf<i32>, max: &Self, ln: &Self) -> Self {
        let shape = labels.shape();
        assert!(
            [dy.shape(), max.shape(), ln.shape()] == [shape; 3],
            "cross_entropy_backward: shapes differ\n  labels = {shape}\n  dy = {}\n  max = {}\n  ln = {}",
            dy.shape(),
            max.shape(),
            ln.shape()
        );
        T::cross_entropy_backward(dy, self, labels, max, ln)
    }
}
