//! Storage: the elements of a tensor, inline if there are few, else in a block of the buffer pool.

use std::marker::PhantomData;
use std::mem::size_of;
use std::ptr::NonNull;

use crate::buffer_pool;
use crate::gpu::CudaBuffer;
use crate::scalar::Scalar;
use crate::shared::Shared;

/// The number of words for inline elements: as many bytes as the smallest block of the buffer pool.
const WORDS: usize = 8;

/// The storage of a tensor's elements.
pub(crate) enum Storage<T> {
    /// Inline: so few elements that a heap allocation would cost more.
    Few(Few<T>),
    /// In a shared buffer.
    Many(Shared<Buffer<T>>),
    /// In a shared buffer on a GPU.
    Cuda(Shared<CudaBuffer<T>>),
}

impl<T: Scalar> Storage<T> {
    /// Storage for `len` elements with unspecified values; `None` if there is no memory for them.
    #[inline]
    pub(crate) fn new(len: usize) -> Option<Self> {
        let bytes = len.checked_mul(size_of::<T>())?;
        if bytes <= size_of::<[u64; WORDS]>() {
            Some(Self::Few(Few { words: [0; WORDS], len, element: PhantomData }))
        } else {
            Some(Self::Many(Shared::new(Buffer::new(len)?)))
        }
    }

    /// Shares the buffer, or copies inline elements.
    #[inline]
    pub(crate) fn share(&self) -> Self {
        match self {
            Self::Few(few) => Self::Few(Few { ..*few }),
            Self::Many(buffer) => Self::Many(buffer.clone()),
            Self::Cuda(buffer) => Self::Cuda(buffer.clone()),
        }
    }

    /// Whether the elements are exclusive and can be written in place.
    #[inline]
    pub(crate) fn is_exclusive(&mut self) -> bool {
        match self {
            Self::Few(_) => true,
            Self::Many(buffer) => buffer.get_mut().is_some(),
            // A bf16 buffer is not written in place: it is converted to f32 first.
            Self::Cuda(buffer) => buffer.get_mut().is_some_and(|buffer| !buffer.is_bf16()),
        }
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::Few(few) => few.as_slice(),
            Self::Many(buffer) => buffer.as_slice(),
            Self::Cuda(_) => on_gpu(),
        }
    }

    /// The elements, mutably; `None` if the buffer is shared.
    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> Option<&mut [T]> {
        match self {
            Self::Few(few) => Some(few.as_mut_slice()),
            Self::Many(buffer) => buffer.get_mut().map(Buffer::as_mut_slice),
            Self::Cuda(_) => on_gpu(),
        }
    }
}

/// Panics: a CPU kernel was called with a GPU tensor.
#[cold]
fn on_gpu() -> ! {
    panic!("a CPU operation got a tensor on a GPU\n  rule: move it with to(Device::Cpu) first")
}

/// Inline elements.
pub(crate) struct Few<T> {
    words: [u64; WORDS],
    len: usize,
    element: PhantomData<T>,
}

impl<T: Scalar> Few<T> {
    #[inline]
    fn as_slice(&self) -> &[T] {
        // SAFETY: `Storage::new` checked that `len` elements fit, a word is aligned for every element type, and every bit
        // pattern is a valid element (the trait is sealed over plain numbers).
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.len) }
    }

    #[inline]
    fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), self.len) }
    }
}

/// A buffer of elements on one device.
pub(crate) struct Buffer<T> {
    block: NonNull<u8>,
    len: usize,
    element: PhantomData<T>,
}

// SAFETY: the buffer owns its block, and elements are plain numbers.
unsafe impl<T: Scalar> Send for Buffer<T> {}
// SAFETY: a shared buffer is only read.
unsafe impl<T: Scalar> Sync for Buffer<T> {}

impl<T: Scalar> Buffer<T> {
    /// A buffer of `len` elements with unspecified values; `None` if there is no memory for them.
    fn new(len: usize) -> Option<Self> {
        Some(Self { block: buffer_pool::take(len * size_of::<T>())?, len, element: PhantomData })
    }

    #[inline]
    fn as_slice(&self) -> &[T] {
        // SAFETY: the block is large enough for `len` elements, is aligned to 64, and the pool's blocks are always
        // initialized; every bit pattern is a valid element (the trait is sealed over plain numbers).
        unsafe { std::slice::from_raw_parts(self.block.as_ptr().cast(), self.len) }
    }

    #[inline]
    fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.block.as_ptr().cast(), self.len) }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: the block came from `take` with the same number of bytes and is not used again.
        unsafe { buffer_pool::give_back(self.block, self.len * size_of::<T>()) }
    }
}
