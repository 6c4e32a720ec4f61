//! What a kernel of a device computes with.

use crate::element::Element;
use crate::gpu::Gpu;
use crate::tensor::TensorOf;

impl Gpu {
    /// What a kernel of this device computes with: a tensor that lies here, or a number brought here.
    ///
    /// # Panics
    /// If the tensor lies elsewhere and has more than one element: moving it would cost more than most kernels do, and
    /// should not go unseen.
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
