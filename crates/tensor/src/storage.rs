//! Storage: a block of the pool, seen as elements of one type.

use std::marker::PhantomData;
use std::mem::size_of;
use std::ptr::NonNull;

use crate::element::Element;
use crate::pool;

/// A buffer of elements on one device. Tensors share it behind an `Arc`.
pub(crate) struct Buffer<T> {
    block: NonNull<u8>,
    len: usize,
    element: PhantomData<T>,
}

// SAFETY: the buffer owns its block, and elements are plain numbers.
unsafe impl<T: Element> Send for Buffer<T> {}
// SAFETY: a shared buffer is only read.
unsafe impl<T: Element> Sync for Buffer<T> {}

impl<T: Element> Buffer<T> {
    /// A buffer of `len` elements that holds whatever numbers its block held before.
    pub(crate) fn new(len: usize) -> Self {
        Self { block: pool::take(len * size_of::<T>()), len, element: PhantomData }
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        // SAFETY: the block has room for `len` elements, is aligned to 64, and the pool's blocks are always
        // initialised; every bit pattern is a valid element (the trait is sealed over plain numbers).
        unsafe { std::slice::from_raw_parts(self.block.as_ptr().cast(), self.len) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`, and `&mut self` makes it unique.
        unsafe { std::slice::from_raw_parts_mut(self.block.as_ptr().cast(), self.len) }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: the block came from `take` with the same number of bytes and is not used again.
        unsafe { pool::give_back(self.block, self.len * size_of::<T>()) }
    }
}
