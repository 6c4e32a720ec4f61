//! Reading elements, and writing them in place.

use crate::device::Device;
use crate::element::Element;
use crate::layout::Layout;
use crate::tensor::TensorOf;

impl<T: Element> TensorOf<T> {
    /// Makes the storage this tensor's alone: copies if anyone else holds it, or if elements share a place in it, since
    /// writing one would change the others.
    #[inline]
    pub(crate) fn make_own(&mut self) {
        if !self.is_unshared() {
            self.copy_to_own();
        }
    }

    /// The whole storage for writing, with the layout; made this tensor's own first.
    #[inline]
    pub(crate) fn buffer_mut(&mut self) -> (&mut [T], Layout) {
        self.make_own();
        self.own_buffer_mut()
    }

    #[cold]
    fn copy_to_own(&mut self) {
        let mut own = self.uninitialized_like(self.layout().dense_like());
        T::copy(&mut own, self);
        *self = own;
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

impl<T: Element> PartialEq for TensorOf<T> {
    /// Equal shapes and equal elements; NaN equals nothing, as for floats.
    fn eq(&self, other: &Self) -> bool {
        self.shape() == other.shape() && self.to_vec() == other.to_vec()
    }
}
