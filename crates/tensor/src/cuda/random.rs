//! Counter-based random numbers: `kernels/cuda/random.cu`.

use chainrule_kernels::Family;

use crate::device::Device;
use crate::element::Float;
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid, checked};
use crate::layout::Layout;
use crate::random;
use crate::shape::Shape;
use crate::tensor::{TensorOf, address};

/// `Key` of `kernels/cuda/philox.cuh`.
#[repr(C)]
pub(super) struct Key {
    seed: u64,
    purpose: u32,
    step: u32,
    sample: u32,
}

// SAFETY: the same fields of the same sizes in the same order.
unsafe impl Argument for Key {}

impl From<random::Key> for Key {
    fn from(key: random::Key) -> Self {
        Self { seed: key.seed, purpose: key.purpose.number(), step: key.step, sample: key.sample }
    }
}

pub(crate) fn uniform<T: Float>(gpu: &'static Gpu, _: Device, key: random::Key, shape: Shape) -> TensorOf<T> {
    draw(gpu, "uniform", key, shape)
}

pub(crate) fn normal<T: Float>(gpu: &'static Gpu, _: Device, key: random::Key, shape: Shape) -> TensorOf<T> {
    draw(gpu, "normal", key, shape)
}

fn draw<T: Float>(gpu: &'static Gpu, name: &'static str, key: random::Key, shape: Shape) -> TensorOf<T> {
    let y = gpu.tensor(Layout::contiguous(shape));
    let numel = checked(shape.numel());
    let (to, key) = (address(&y), Key::from(key));
    // SAFETY: y has `numel` elements.
    unsafe { gpu.launch(Family::Random, (name, T::NAME), grid(shape), [&to, &numel, &key]) };
    y
}

pub(crate) fn dropout_mask<T: Float + Argument>(
    gpu: &'static Gpu,
    _: Device,
    key: random::Key,
    p: f64,
    shape: Shape,
) -> TensorOf<T> {
    let y = gpu.tensor(Layout::contiguous(shape));
    let numel = checked(shape.numel());
    // As on the CPU, so that the same elements are dropped.
    let bound = (p * (1u64 << 32) as f64).ceil() as u64;
    let keep = T::from_f64(1.0 / (1.0 - p));
    let (to, key, step) = (address(&y), Key::from(key), gpu.step_block.parameters());
    // SAFETY: y has `numel` elements, and the step parameters are this device's.
    unsafe {
        gpu.launch(Family::Random, ("dropout_mask", T::NAME), grid(shape), [&to, &numel, &key, &bound, &keep, &step]);
    }
    y
}

/// One thread per block of four words.
fn grid(shape: Shape) -> Grid {
    Grid::elements(shape.numel().div_ceil(2))
}
