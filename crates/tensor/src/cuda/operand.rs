//! The operands of a device's kernels.

use crate::element::Element;
use crate::gpu::Gpu;
use crate::tensor::TensorOf;

impl Gpu {
    /// `x` as an operand on this device; a scalar from the host is filled in here.
    ///
    /// # Panics
    /// If the tensor is on another device and has more than one element: an implicit transfer would cost more than most
    /// kernels.
    #[track_caller]
    pub(super) fn operand<T: Element>(&'static self, x: &TensorOf<T>) -> TensorOf<T> {
        match x.gpu() {
            Some(gpu) if gpu == self => x.clone(),
            None if x.numel() <= 1 => match x.numel() {
                0 => self.tensor(*x.layout()),
                _ => T::full(self.device(), x.shape(), x.item()),
            },
            _ => panic!(
                "an operation on {} got a tensor of shape {} on {}\n  rule: move it with to(device) first",
                self.device(),
                x.shape(),
                x.device()
            ),
        }
    }
}
