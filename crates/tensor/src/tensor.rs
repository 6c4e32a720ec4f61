//! The tensor: an immutable value over shared storage.

use std::sync::Arc;

use crate::device::Device;
use crate::element::{Element, Float};
use crate::error::OrPanic;
use crate::kernel::FloatKernels;
use crate::layout::Layout;
use crate::random::Key;
use crate::shape::Shape;
use crate::shape_rules;
use crate::storage::Buffer;

/// An n-dimensional array of `f32`: what networks compute with.
pub type Tensor = TensorOf<f32>;
/// An n-dimensional array of `f64`: what derivations are checked with.
pub type Tensor64 = TensorOf<f64>;

/// An n-dimensional array.
///
/// A tensor is a value: cloning it costs nothing, and nobody sees it change. Reshaping, transposing, slicing and
/// broadcasting give views of the same storage. The few functions that write take `&mut self`, and copy first if the
/// storage is shared.
///
/// ```
/// use chainrule_tensor::Tensor;
/// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
/// assert_eq!(x.transpose(0, 1).to_vec(), [1.0, 3.0, 2.0, 4.0]);
/// ```
#[derive(Clone)]
pub struct TensorOf<T> {
    layout: Layout,
    storage: Arc<Buffer<T>>,
}

impl<T: Element> TensorOf<T> {
    /// A tensor without gaps whose elements hold whatever their memory held before; for kernels, which then write all.
    pub(crate) fn uninitialised(layout: Layout) -> Self {
        Self { storage: Arc::new(Buffer::new(layout.shape().numel())), layout }
    }

    /// The elements of `data` in row-major order.
    ///
    /// # Panics
    /// If `data` has not as many elements as the shape.
    #[track_caller]
    pub fn from_slice(data: &[T], shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert!(
            data.len() == shape.numel(),
            "from_slice: {} elements do not fill the shape {shape}, which has {}",
            data.len(),
            shape.numel()
        );
        Self::filled_by(shape, |y| y.copy_from_slice(data))
    }

    /// A row-major tensor whose elements `fill` writes.
    pub(crate) fn filled_by(shape: Shape, fill: impl FnOnce(&mut [T])) -> Self {
        let mut buffer = Buffer::new(shape.numel());
        fill(buffer.as_mut_slice());
        Self { layout: Layout::contiguous(shape), storage: Arc::new(buffer) }
    }

    /// Every element is `value`.
    pub fn full(shape: impl Into<Shape>, value: T) -> Self {
        Self::filled_by(shape.into(), |y| y.fill(value))
    }

    /// Every element is 0.
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        Self::full(shape, T::ZERO)
    }

    /// Every element is 1.
    pub fn ones(shape: impl Into<Shape>) -> Self {
        Self::full(shape, T::ONE)
    }

    /// One element, no axes.
    pub fn scalar(value: T) -> Self {
        Self::full((), value)
    }

    /// Element `i`, counted in row-major order, is `f(i)`.
    pub fn from_fn(shape: impl Into<Shape>, f: impl FnMut(usize) -> T) -> Self {
        let mut f = f;
        Self::filled_by(shape.into(), |y| {
            for (i, slot) in y.iter_mut().enumerate() {
                *slot = f(i);
            }
        })
    }

    /// 0, 1, … n − 1: shape (n,).
    pub fn arange(n: usize) -> Self {
        Self::from_fn(n, |i| T::from_f64(i as f64))
    }

    /// The identity matrix: shape (n, n).
    pub fn eye(n: usize) -> Self {
        Self::from_fn([n, n], |i| if i / n == i % n { T::ONE } else { T::ZERO })
    }

    /// The lengths of the axes.
    pub fn shape(&self) -> Shape {
        self.layout.shape()
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape().rank()
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.shape().numel()
    }

    /// Where each element lies in the storage.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where the tensor lives.
    pub fn device(&self) -> Device {
        Device::Cpu
    }

    /// The whole storage; the layout says where in it the elements are.
    pub(crate) fn buffer(&self) -> &[T] {
        self.storage.as_slice()
    }

    /// The whole storage for writing, with the layout. Copies first if anyone else holds the storage, or if elements
    /// share a place in it, since writing one would change the others.
    pub(crate) fn buffer_mut(&mut self) -> (&mut [T], Layout) {
        if Arc::get_mut(&mut self.storage).is_none() || self.layout.repeats() {
            let mut own = Self::uninitialised(self.layout.dense_like());
            T::copy(&mut own, self);
            *self = own;
        }
        let layout = self.layout;
        let buffer = Arc::get_mut(&mut self.storage).expect("the copy above is nobody else's");
        (buffer.as_mut_slice(), layout)
    }

    /// The elements in row-major order, if that is how they lie in memory.
    pub fn as_slice(&self) -> Option<&[T]> {
        let start = self.layout.offset();
        self.layout.is_contiguous().then(|| &self.buffer()[start..start + self.numel()])
    }

    /// The elements in row-major order, for writing. Copies first if they lie otherwise or anyone else holds the storage.
    pub fn make_mut(&mut self) -> &mut [T] {
        if !self.layout.is_contiguous() {
            *self = self.contiguous();
        }
        let n = self.numel();
        let (buffer, layout) = self.buffer_mut();
        &mut buffer[layout.offset()..layout.offset() + n]
    }

    /// The elements in row-major order.
    pub fn to_vec(&self) -> Vec<T> {
        match self.as_slice() {
            Some(slice) => slice.to_vec(),
            None => self.contiguous().to_vec(),
        }
    }

    /// The one element of a tensor that has only one.
    ///
    /// # Panics
    /// If there are more elements, or none.
    #[track_caller]
    pub fn item(&self) -> T {
        assert!(self.numel() == 1, "item: a tensor of shape {} has {} elements, not one", self.shape(), self.numel());
        self.buffer()[self.layout.offset()]
    }

    /// The element at `index`, one number for each axis.
    ///
    /// # Panics
    /// If the index has another number of axes or lies outside.
    #[track_caller]
    pub fn at(&self, index: &[usize]) -> T {
        let shape = self.shape();
        assert!(
            index.len() == shape.rank() && index.iter().zip(shape.iter()).all(|(i, n)| i < n),
            "at: {index:?} lies outside of the shape {shape}"
        );
        self.buffer()[self.layout.position(index)]
    }

    /// The same elements in row-major order in memory; this very tensor if they lie so already.
    #[must_use]
    pub fn contiguous(&self) -> Self {
        self.in_order(&Layout::contiguous(self.shape()))
    }

    /// The same elements without gaps, axes keeping their order in memory.
    #[must_use]
    pub fn dense(&self) -> Self {
        self.in_order(&self.layout.dense_like())
    }

    /// An image batch (N,C,H,W) with the channels of a pixel side by side in memory. The logical order stays.
    ///
    /// # Panics
    /// If there are not four axes.
    #[must_use]
    #[track_caller]
    pub fn channels_last(&self) -> Self {
        assert!(self.rank() == 4, "channels_last: an image batch has four axes, (N,C,H,W), not {}", self.shape());
        self.in_order(&Layout::dense(self.shape(), &[0, 2, 3, 1]))
    }

    fn in_order(&self, layout: &Layout) -> Self {
        let same = |a: usize| self.shape()[a] == 1 || self.layout.strides()[a] == layout.strides()[a];
        if self.numel() == 0 || (0..self.rank()).all(same) {
            return self.clone();
        }
        let mut out = Self::uninitialised(*layout);
        T::copy(&mut out, self);
        out
    }

    fn view(&self, layout: Layout) -> Self {
        Self { layout, storage: Arc::clone(&self.storage) }
    }

    /// Another shape over the same elements in row-major order; copies only where strides cannot express it.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[must_use]
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert!(
            shape.numel() == self.numel(),
            "reshape: {} elements do not fill {shape}, which has {}\n  x = {}\n  rule: the number of elements stays",
            self.numel(),
            shape.numel(),
            self.shape()
        );
        match self.layout.reshape(shape) {
            Some(layout) => self.view(layout),
            None => self.contiguous().reshape(shape),
        }
    }

    /// The axes in another order: axis `i` of the result is axis `order[i]` of this tensor.
    ///
    /// # Panics
    /// If `order` is not a permutation of the axes.
    #[must_use]
    #[track_caller]
    pub fn permute(&self, order: &[usize]) -> Self {
        self.view(self.layout.permute(order).or_panic())
    }

    /// Two axes exchanged; negative numbers count from the last.
    ///
    /// # Panics
    /// If there is no such axis.
    #[must_use]
    #[track_caller]
    pub fn transpose(&self, a: isize, b: isize) -> Self {
        let (a, b) = (self.axis("transpose", a), self.axis("transpose", b));
        let mut order: Vec<usize> = (0..self.rank()).collect();
        order.swap(a, b);
        self.permute(&order)
    }

    /// `len` elements of an axis: `start`, `start + step`, …; a negative step walks backwards.
    ///
    /// # Panics
    /// If there is no such axis or an element would lie outside of it.
    #[must_use]
    #[track_caller]
    pub fn slice(&self, axis: isize, start: usize, len: usize, step: isize) -> Self {
        let axis = self.axis("slice", axis);
        self.view(self.layout.slice(axis, start, len, step).or_panic())
    }

    /// Elements `range` of an axis.
    ///
    /// # Panics
    /// If there is no such axis or the range reaches beyond it.
    #[must_use]
    #[track_caller]
    pub fn narrow(&self, axis: isize, range: std::ops::Range<usize>) -> Self {
        self.slice(axis, range.start, range.len(), 1)
    }

    /// Axes of length 1 repeated and axes added in front, without copying.
    ///
    /// # Panics
    /// If an axis is neither 1 nor the length asked for.
    #[must_use]
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Self {
        self.view(self.layout.broadcast_to(shape.into()).or_panic())
    }

    /// Without the axis, which has length 1.
    ///
    /// # Panics
    /// If the axis is missing or longer.
    #[must_use]
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Self {
        let axis = self.axis("squeeze", axis);
        let shape = self.shape();
        assert!(shape[axis] == 1, "squeeze: axis {axis} of {shape} has length {}, not 1", shape[axis]);
        self.reshape([&shape[..axis], &shape[axis + 1..]].concat())
    }

    /// With an axis of length 1 added in front of `axis`; −1 adds one at the end.
    ///
    /// # Panics
    /// If there is no such place.
    #[must_use]
    #[track_caller]
    pub fn unsqueeze(&self, axis: isize) -> Self {
        let shape = self.shape();
        let with_one = Shape::new(&vec![1; shape.rank() + 1]);
        let axis = shape_rules::axis("unsqueeze", with_one, axis).or_panic();
        self.reshape([&shape[..axis], &[1], &shape[axis..]].concat())
    }

    /// All axes from `axis` on made one, in row-major order: (N,C,H,W) from axis 1 is (N, C·H·W).
    ///
    /// # Panics
    /// If there is no such axis.
    #[must_use]
    #[track_caller]
    pub fn flatten(&self, axis: isize) -> Self {
        let axis = self.axis("flatten", axis);
        let shape = self.shape();
        self.reshape([&shape[..axis], &[shape[axis..].iter().product()]].concat())
    }

    /// The axis with this number; negative ones count from the last.
    #[track_caller]
    pub(crate) fn axis(&self, op: &str, axis: isize) -> usize {
        shape_rules::axis(op, self.shape(), axis).or_panic()
    }

    /// Writes `x`, broadcast, into elements `range` of an axis; copies first if the storage is shared.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn assign(&mut self, axis: isize, range: std::ops::Range<usize>, x: &Self) {
        let axis = self.axis("assign", axis);
        self.write(x, |whole| whole.slice(axis, range.start, range.len(), 1).or_panic());
    }

    /// Writes `x` into elements `start`, `start + step`, … of an axis, as many as `x` has along it; copies first if the
    /// storage is shared.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn assign_slice(&mut self, axis: isize, start: usize, step: isize, x: &Self) {
        let axis = self.axis("assign_slice", axis);
        self.write(x, |whole| whole.slice(axis, start, x.shape()[axis], step).or_panic());
    }

    /// Writes `x` into the middle of this tensor, `margins[axis]` = (before, after) elements being left as they are.
    #[track_caller]
    pub(crate) fn assign_box(&mut self, margins: &[(usize, usize)], x: &Self) {
        let shape = x.shape();
        self.write(x, |whole| {
            let cut = |layout: Layout, (axis, &(before, _)): (usize, &(usize, usize))| {
                layout.slice(axis, before, shape[axis], 1).or_panic()
            };
            margins.iter().enumerate().fold(*whole, cut)
        });
    }

    /// Writes `x`, broadcast, into the part that `part` cuts out of the layout.
    #[track_caller]
    fn write(&mut self, x: &Self, part: impl FnOnce(&Layout) -> Layout) {
        self.buffer_mut();
        // The storage is this tensor's alone now: it is lent to a view of the part and taken back.
        let whole = self.layout;
        self.layout = part(&whole);
        x.layout.broadcast_to(self.layout.shape()).or_panic();
        T::copy(self, x);
        self.layout = whole;
    }
}

impl<T: Float> TensorOf<T> {
    /// Uniform in [0, 1): element i, counted in row-major order, is a pure function of the key and i.
    pub fn random_uniform(key: Key, shape: impl Into<Shape>) -> Self {
        <T as FloatKernels>::random_uniform(key, shape.into())
    }

    /// Standard normal; element i, counted in row-major order, is a pure function of the key and i.
    pub fn random_normal(key: Key, shape: impl Into<Shape>) -> Self {
        <T as FloatKernels>::random_normal(key, shape.into())
    }
}

impl<T: Element> PartialEq for TensorOf<T> {
    /// Equal shapes and equal elements; NaN equals nothing, as for floats.
    fn eq(&self, other: &Self) -> bool {
        self.shape() == other.shape() && self.to_vec() == other.to_vec()
    }
}

impl<T: Element> From<T> for TensorOf<T> {
    fn from(value: T) -> Self {
        Self::scalar(value)
    }
}

impl<T: Element, const N: usize> From<[T; N]> for TensorOf<T> {
    fn from(row: [T; N]) -> Self {
        Self::from_slice(&row, N)
    }
}

impl<T: Element, const N: usize, const M: usize> From<[[T; N]; M]> for TensorOf<T> {
    fn from(rows: [[T; N]; M]) -> Self {
        Self::from_slice(rows.as_flattened(), [M, N])
    }
}

impl<T: Element, const N: usize, const M: usize, const L: usize> From<[[[T; N]; M]; L]> for TensorOf<T> {
    fn from(planes: [[[T; N]; M]; L]) -> Self {
        Self::from_slice(planes.as_flattened().as_flattened(), [L, M, N])
    }
}

impl<T: Element> From<Vec<T>> for TensorOf<T> {
    fn from(row: Vec<T>) -> Self {
        Self::from_slice(&row, row.len())
    }
}

impl<T: Element> From<&TensorOf<T>> for TensorOf<T> {
    fn from(x: &TensorOf<T>) -> Self {
        x.clone()
    }
}
