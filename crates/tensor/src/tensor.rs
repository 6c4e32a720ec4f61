//! The tensor: an immutable value over shared storage.

use crate::buffer_pool;
use crate::device::Device;
use crate::gpu::{CudaBuffer, Gpu};
use crate::layout::Layout;
use crate::scalar::Scalar;
use crate::shape::Shape;
use crate::shared::Shared;
use crate::storage::Storage;

/// An n-dimensional array of `f32`, for training.
pub type Tensor = TensorOf<f32>;
/// An n-dimensional array of `f64`, for checking derivations.
pub type Tensor64 = TensorOf<f64>;

/// An n-dimensional array.
///
/// A tensor is a value: cloning it is cheap, and a clone never changes with the original. Reshaping, transposing, slicing and
/// broadcasting give views of the same storage. The few functions that write take `&mut self`, and copy first if the
/// storage is shared.
///
/// ```
/// use chainrule_tensor::Tensor;
/// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
/// assert_eq!(x.transpose(0, 1).to_vec(), [1.0, 3.0, 2.0, 4.0]);
/// ```
pub struct TensorOf<T>(Shared<Parts<T>>);

/// The parts of a tensor.
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
    /// Equal for clones of one tensor, and different for any two tensors that exist at the same time.
    #[must_use]
    pub fn identity(&self) -> u64 {
        std::ptr::from_ref(&*self.0).addr() as u64
    }

    /// The GPU of the elements, if they are on one.
    #[inline]
    pub(crate) fn gpu(&self) -> Option<&'static Gpu> {
        match &self.0.storage {
            Storage::Cuda(buffer) => Some(buffer.gpu()),
            Storage::Few(_) | Storage::Many(_) => None,
        }
    }
}

/// Panics because there is no memory for a tensor or for a copy of its elements; the text has what was asked.
#[cold]
pub(crate) fn out_of_memory<T: Scalar>(shape: &Shape) -> ! {
    panic!(
        "cpu: out of memory: {} requested for a tensor of shape {shape} of {}, {} in use by tensors\n  \
         rule: use a smaller batch or a smaller net, or close other programs",
        size_text(shape.numel() as f64 * size_of::<T>() as f64),
        T::NAME,
        size_text(buffer_pool::stats().in_use as f64)
    )
}

/// A number of bytes in GiB, or in MiB if that is less than one.
fn size_text(bytes: f64) -> String {
    let (mib, gib) = (bytes / f64::from(1 << 20), bytes / f64::from(1 << 30));
    if gib < 1.0 { format!("{mib:.1} MiB") } else { format!("{gib:.1} GiB") }
}

/// An empty vector with room for the elements of a tensor.
///
/// # Panics
/// If there is no memory for them, where `Vec::with_capacity` would end the process.
pub(crate) fn vec_for<T: Scalar>(shape: &Shape) -> Vec<T> {
    let mut vec = Vec::new();
    match vec.try_reserve_exact(shape.numel()) {
        Ok(()) => vec,
        Err(_) => out_of_memory::<T>(shape),
    }
}

impl<T: Scalar> TensorOf<T> {
    /// A dense tensor with unspecified elements, for a kernel that writes all of them.
    ///
    /// # Panics
    /// If there is no memory for it; the message has the shape, and the bytes requested and in use.
    #[inline]
    pub(crate) fn uninitialized(layout: Layout) -> Self {
        let storage = Storage::new(layout.numel()).unwrap_or_else(|| out_of_memory::<T>(layout.shape_ref()));
        Self(Shared::new(Parts { layout, storage }))
    }

    /// As [`uninitialized`](Self::uninitialized), on the device of this tensor.
    #[inline]
    pub(crate) fn uninitialized_like<U: Scalar>(&self, layout: Layout) -> TensorOf<U> {
        self.gpu().map_or_else(|| TensorOf::uninitialized(layout), |gpu| gpu.tensor(layout))
    }

    /// A tensor over a buffer on a GPU.
    pub(crate) fn on_gpu(layout: Layout, buffer: CudaBuffer<T>) -> Self {
        Self(Shared::new(Parts { layout, storage: Storage::Cuda(Shared::new(buffer)) }))
    }

    /// The buffer of a tensor on a GPU.
    pub(crate) fn cuda_buffer(&self) -> &CudaBuffer<T> {
        match &self.0.storage {
            Storage::Cuda(buffer) => buffer,
            _ => panic!(
                "a GPU operation got a tensor of shape {} on cpu\n  rule: move it with to(device) first",
                self.shape()
            ),
        }
    }

    /// A tensor for these elements in another dense layout, on the same device and in the same storage format.
    pub(crate) fn uninitialized_as_stored(&self, layout: Layout) -> Self {
        match self.gpu() {
            Some(gpu) if self.is_bf16() => Self::on_gpu(layout, CudaBuffer::new_bf16(gpu, layout.numel())),
            Some(gpu) => gpu.tensor(layout),
            None => Self::uninitialized(layout),
        }
    }

    /// Whether the elements, which are on a GPU, are stored as bf16.
    pub(crate) fn is_bf16(&self) -> bool {
        self.cuda_buffer().is_bf16()
    }

    /// The address of the first element on a GPU, if it is stored as bf16.
    pub(crate) fn bf16_address(&self) -> Option<u64> {
        let start = self.cuda_buffer().bf16_address()?;
        Some(start + (self.layout().offset() * size_of::<u16>()) as u64)
    }

    /// The buffer of an exclusive tensor on a GPU, such as one that a kernel is about to return.
    pub(crate) fn cuda_buffer_mut(&mut self) -> &mut CudaBuffer<T> {
        match self.0.get_mut() {
            Some(Parts { storage: Storage::Cuda(buffer), .. }) => buffer.get_mut().expect("the tensor is exclusive"),
            _ => panic!("the tensor is exclusive and on a GPU"),
        }
    }

    /// A view of the same storage with another layout.
    #[inline]
    pub(crate) fn view(&self, layout: Layout) -> Self {
        Self(Shared::new(Parts { layout, storage: self.0.storage.share() }))
    }

    /// The elements of `data` in row-major order.
    ///
    /// # Panics
    /// If the lengths of `data` and the shape differ.
    #[track_caller]
    pub fn from_slice(data: &[T], shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert!(
            data.len() == shape.numel(),
            "from_slice: {} elements given, but the shape {shape} has {}",
            data.len(),
            shape.numel()
        );
        Self::filled_by(shape, |y| y.copy_from_slice(data))
    }

    /// A row-major tensor whose elements `fill` writes.
    pub(crate) fn filled_by(shape: Shape, fill: impl FnOnce(&mut [T])) -> Self {
        let mut y = Self::uninitialized(Layout::contiguous(shape));
        fill(y.own_buffer_mut().0);
        y
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

    /// The position of each element in the storage.
    #[inline]
    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// The device of the tensor.
    pub fn device(&self) -> Device {
        self.gpu().map_or(Device::Cpu, Gpu::device)
    }

    /// The whole storage, in which the layout gives the positions of the elements.
    #[inline]
    pub(crate) fn buffer(&self) -> &[T] {
        self.0.storage.as_slice()
    }

    /// Whether the storage is exclusive, so that writes are in place.
    pub fn is_unshared(&mut self) -> bool {
        !self.layout().repeats() && self.0.get_mut().is_some_and(|parts| parts.storage.is_exclusive())
    }

    /// Drops the channel sums of an exclusive tensor whose elements are about to be written.
    #[inline]
    pub(crate) fn forget_channel_stats(&mut self) {
        if let Some(Parts { storage: Storage::Cuda(buffer), .. }) = self.0.get_mut()
            && let Some(buffer) = buffer.get_mut()
        {
            buffer.forget();
        }
    }

    /// The whole storage of an exclusive tensor, mutably, with the layout.
    #[inline]
    pub(crate) fn own_buffer_mut(&mut self) -> (&mut [T], Layout) {
        let parts = self.0.get_mut().expect("the tensor is exclusive");
        (parts.storage.as_mut_slice().expect("the tensor is exclusive"), parts.layout)
    }

    /// Replaces the layout of an exclusive tensor, such as after [`buffer_mut`](Self::buffer_mut).
    pub(crate) fn set_layout(&mut self, layout: Layout) {
        self.0.get_mut().expect("the tensor is exclusive").layout = layout;
    }

    /// The elements, if they are contiguous in row-major order in host memory; `None` on a GPU.
    pub fn as_slice(&self) -> Option<&[T]> {
        let start = self.layout().offset();
        let here = self.layout().is_contiguous() && self.gpu().is_none();
        here.then(|| &self.buffer()[start..start + self.numel()])
    }
}

impl Gpu {
    /// A dense tensor with unspecified elements, for a kernel that writes all of them.
    pub(crate) fn tensor<T: Scalar>(&'static self, layout: Layout) -> TensorOf<T> {
        TensorOf::on_gpu(layout, CudaBuffer::new(self, layout.numel()))
    }
}

/// The address of the first element of a tensor on a device.
pub(crate) fn address<T: Scalar>(x: &TensorOf<T>) -> u64 {
    x.cuda_buffer().address() + (x.layout().offset() * size_of::<T>()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_below_a_gibibyte_are_in_mebibytes() {
        let sizes = [0.0, 1e5, f64::from(1 << 20), f64::from(1 << 29), f64::from(1 << 30), 1.5 * f64::from(1 << 30)];
        assert_eq!(sizes.map(size_text), ["0.0 MiB", "0.1 MiB", "1.0 MiB", "512.0 MiB", "1.0 GiB", "1.5 GiB"]);
    }
}
