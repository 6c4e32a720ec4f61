//! Constructors.

use crate::device::Device;
use crate::element::{Element, Float};
use crate::kernel::FloatKernels;
use crate::random::Key;
use crate::shape::Shape;
use crate::tensor::TensorOf;

impl<T: Element> TensorOf<T> {
    /// A tensor filled with `value`.
    pub fn full(shape: impl Into<Shape>, value: T) -> Self {
        Self::full_on(Device::Cpu, shape, value)
    }

    /// A tensor on the given device, filled with `value`.
    ///
    /// # Panics
    /// If the device cannot be used; check [`Device::ready`] first.
    pub fn full_on(device: Device, shape: impl Into<Shape>, value: T) -> Self {
        T::full(device, shape.into(), value)
    }

    /// A tensor of zeros.
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        Self::full(shape, T::ZERO)
    }

    /// A tensor of ones.
    pub fn ones(shape: impl Into<Shape>) -> Self {
        Self::full(shape, T::ONE)
    }

    /// A tensor with one element and no axes.
    pub fn scalar(value: T) -> Self {
        Self::full((), value)
    }

    /// 0, 1, … n − 1: shape (n,).
    pub fn arange(n: usize) -> Self {
        Self::from_fn(n, |i| T::from_f64(i as f64))
    }

    /// The identity matrix: shape (n, n).
    pub fn eye(n: usize) -> Self {
        Self::from_fn([n, n], |i| if i / n == i % n { T::ONE } else { T::ZERO })
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

    /// As [`random_normal`](Self::random_normal); between devices the last digits differ.
    pub fn random_normal_on(device: Device, key: Key, shape: impl Into<Shape>) -> Self {
        <T as FloatKernels>::random_normal(device, key, shape.into())
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
