//! Element access: reading, and writing in place.

use crate::device::Device;
use crate::element::Element;
use crate::layout::Layout;
use crate::tensor::{TensorOf, vec_for};

impl<T: Element> TensorOf<T> {
    /// Makes the storage exclusive: copies it if it is shared or if elements overlap in memory.
    #[inline]
    pub(crate) fn make_own(&mut self) {
        if !self.is_unshared() {
            return self.copy_to_own();
        }
        self.forget_channel_stats();
    }

    /// The whole storage, mutably, with the layout; makes it exclusive first.
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

    /// The elements in row-major order, mutably. Copies first if they are not contiguous or the storage is shared.
    ///
    /// # Panics
    /// If the tensor is on a GPU.
    pub fn make_mut(&mut self) -> &mut [T] {
        if !self.layout().is_contiguous() {
            *self = self.contiguous();
        }
        let n = self.numel();
        let (buffer, layout) = self.buffer_mut();
        &mut buffer[layout.offset()..layout.offset() + n]
    }

    /// The elements in row-major order; synchronizes with a GPU.
    pub fn to_vec(&self) -> Vec<T> {
        match self.as_slice() {
            Some(slice) => {
                let mut elements = vec_for(&self.shape());
                elements.extend_from_slice(slice);
                elements
            }
            None => self.to(Device::Cpu).contiguous().to_vec(),
        }
    }

    /// The element of a tensor with one element; synchronizes with a GPU.
    ///
    /// # Panics
    /// If the number of elements is not 1.
    #[track_caller]
    pub fn item(&self) -> T {
        assert!(self.numel() == 1, "item: a tensor of shape {} has {} elements, not one", self.shape(), self.numel());
        if self.gpu().is_some() {
            return self.to(Device::Cpu).item();
        }
        self.buffer()[self.layout().offset()]
    }

    /// The element at `index`, which has one number per axis.
    ///
    /// # Panics
    /// If the index has the wrong number of axes or is out of range.
    #[track_caller]
    pub fn at(&self, index: &[usize]) -> T {
        let shape = self.shape();
        assert!(
            index.len() == shape.rank() && index.iter().zip(shape.iter()).all(|(i, n)| i < n),
            "at: {index:?} is out of range for the shape {shape}"
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
