//! The tensor: an immutable value over shared storage.

use crate::cuda::{CudaBuffer, Gpu};
use crate::device::Device;
use crate::element::{Element, Float};
use crate::kernel::FloatKernels;
use crate::layout::Layout;
use crate::random::Key;
use crate::shape::Shape;
use crate::shared::Shared;
use crate::storage::Storage;

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
pub struct TensorOf<T>(Shared<Parts<T>>);

/// What a tensor consists of.
struct Parts<T> {
    layout: Layout,
    storage: Storage<T>,
}

impl<T> Clone for TensorOf<T> {
    #[inline]
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> TensorOf<T> {
    /// The GPU that the elements lie on, if they do.
    #[inline]
    pub(crate) fn gpu(&self) -> Option<&'static Gpu> {
        match &self.0.storage {
            Storage::Cuda(buffer) => Some(buffer.gpu()),
            Storage::Few(_) | Storage::Many(_) => None,
        }
    }
}

impl<T: Element> TensorOf<T> {
    /// A tensor without gaps whose elements hold whatever their memory held before; for kernels, which then write all.
    #[inline]
    pub(crate) fn uninitialized(layout: Layout) -> Self {
        let storage = Storage::new(layout.numel());
        Self(Shared::new(Parts { layout, storage }))
    }

    /// As [`uninitialized`](Self::uninitialized), on the device of this tensor.
    #[inline]
    pub(crate) fn uninitialized_like<U: Element>(&self, layout: Layout) -> TensorOf<U> {
        self.gpu().map_or_else(|| TensorOf::uninitialized(layout), |gpu| gpu.tensor(layout))
    }

    /// A tensor over a buffer on a GPU.
    pub(crate) fn on_gpu(layout: Layout, buffer: CudaBuffer<T>) -> Self {
        Self(Shared::new(Parts { layout, storage: Storage::Cuda(Shared::new(buffer)) }))
    }

    /// The buffer of a tensor that lies on a GPU.
    pub(crate) fn cuda_buffer(&self) -> &CudaBuffer<T> {
        match &self.0.storage {
            Storage::Cuda(buffer) => buffer,
            _ => panic!(
                "an operation on a GPU got a tensor of shape {} on cpu\n  rule: move it by to(device) first",
                self.shape()
            ),
        }
    }

    /// The same storage seen through another layout.
    #[inline]
    pub(crate) fn view(&self, layout: Layout) -> Self {
        Self(Shared::new(Parts { layout, storage: self.0.storage.share() }))
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
        let mut y = Self::uninitialized(Layout::contiguous(shape));
        fill(y.buffer_mut().0);
        y
    }

    /// Every element is `value`.
    pub fn full(shape: impl Into<Shape>, value: T) -> Self {
        Self::full_on(Device::Cpu, shape, value)
    }

    /// Every element is `value`, on a device that can be used.
    ///
    /// # Panics
    /// If it cannot: ask [`Device::ready`] first.
    pub fn full_on(device: Device, shape: impl Into<Shape>, value: T) -> Self {
        T::full(device, shape.into(), value)
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
    #[inline]
    pub fn shape(&self) -> Shape {
        self.layout().shape()
    }

    /// The number of axes.
    #[inline]
    pub fn rank(&self) -> usize {
        self.layout().rank()
    }

    /// The number of elements.
    #[inline]
    pub fn numel(&self) -> usize {
        self.layout().numel()
    }

    /// Where each element lies in the storage.
    #[inline]
    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// Where the tensor lives.
    pub fn device(&self) -> Device {
        self.gpu().map_or(Device::Cpu, Gpu::device)
    }

    /// The whole storage; the layout says where in it the elements are.
    #[inline]
    pub(crate) fn buffer(&self) -> &[T] {
        self.0.storage.as_slice()
    }

    /// Makes the storage this tensor's alone: copies if anyone else holds it, or if elements share a place in it, since
    /// writing one would change the others.
    #[inline]
    pub(crate) fn make_own(&mut self) {
        if !self.is_unshared() {
            self.copy_to_own();
        }
    }

    /// Whether nobody else holds the storage: writing changes it in place.
    pub fn is_unshared(&mut self) -> bool {
        !self.layout().repeats() && self.0.get_mut().is_some_and(|parts| parts.storage.is_alone())
    }

    /// The whole storage for writing, with the layout; made this tensor's own first.
    #[inline]
    pub(crate) fn buffer_mut(&mut self) -> (&mut [T], Layout) {
        self.make_own();
        let parts = self.0.get_mut().expect("nobody else holds it now");
        (parts.storage.as_mut_slice().expect("nobody else holds it now"), parts.layout)
    }

    #[cold]
    fn copy_to_own(&mut self) {
        let mut own = self.uninitialized_like(self.layout().dense_like());
        T::copy(&mut own, self);
        *self = own;
    }

    /// Replaces the layout of a tensor that nobody else holds, such as after [`buffer_mut`](Self::buffer_mut).
    pub(crate) fn set_layout(&mut self, layout: Layout) {
        self.0.get_mut().expect("nobody else holds it").layout = layout;
    }

    /// The elements in row-major order, if that is how they lie in this machine's memory; `None` on a GPU.
    pub fn as_slice(&self) -> Option<&[T]> {
        let start = self.layout().offset();
        let here = self.layout().is_contiguous() && self.gpu().is_none();
        here.then(|| &self.buffer()[start..start + self.numel()])
    }

    /// The elements in row-major order, for writing. Copies first if they lie otherwise or anyone else holds the storage.
    ///
    /// # Panics
    /// If the tensor lies on a GPU.
    pub fn make_mut(&mut self) -> &mut [T] {
        if !self.layout().is_contiguous() {
            *self = self.contiguous();
        }
        let n = self.numel();
        let (buffer, layout) = self.buffer_mut();
        &mut buffer[layout.offset()..layout.offset() + n]
    }

    /// The elements in row-major order; waits for a GPU that is to compute them.
    pub fn to_vec(&self) -> Vec<T> {
        match self.as_slice() {
            Some(slice) => slice.to_vec(),
            None => self.to(Device::Cpu).contiguous().to_vec(),
        }
    }

    /// The one element of a tensor that has only one; waits for a GPU that is to compute it.
    ///
    /// # Panics
    /// If there are more elements, or none.
    #[track_caller]
    pub fn item(&self) -> T {
        assert!(self.numel() == 1, "item: a tensor of shape {} has {} elements, not one", self.shape(), self.numel());
        if self.gpu().is_some() {
            return self.to(Device::Cpu).item();
        }
        self.buffer()[self.layout().offset()]
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
        if self.gpu().is_some() {
            return self.to(Device::Cpu).at(index);
        }
        self.buffer()[self.layout().position(index)]
    }
}

impl<T: Float> TensorOf<T> {
    /// Uniform in [0, 1): element i, counted in row-major order, is a pure function of the key and i.
    pub fn random_uniform(key: Key, shape: impl Into<Shape>) -> Self {
        Self::random_uniform_on(Device::Cpu, key, shape)
    }

    /// As [`random_uniform`](Self::random_uniform), the same numbers on every device.
    pub fn random_uniform_on(device: Device, key: Key, shape: impl Into<Shape>) -> Self {
        <T as FloatKernels>::random_uniform(device, key, shape.into())
    }

    /// Standard normal; element i, counted in row-major order, is a pure function of the key and i.
    pub fn random_normal(key: Key, shape: impl Into<Shape>) -> Self {
        Self::random_normal_on(Device::Cpu, key, shape)
    }

    /// As [`random_normal`](Self::random_normal); on another device the last digits differ.
    pub fn random_normal_on(device: Device, key: Key, shape: impl Into<Shape>) -> Self {
        <T as FloatKernels>::random_normal(device, key, shape.into())
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
