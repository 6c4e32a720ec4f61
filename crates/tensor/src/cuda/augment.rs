//! Image batches prepared on the device: `kernels/cuda/augment.cu`.

use chainrule_kernels::Family;

use super::random::Key;
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid, THREADS, checked};
use crate::kernel::{ImageStep, MAX_IMAGE_STEPS};
use crate::layout::Layout;
use crate::random;
use crate::shape::Shape;
use crate::tensor::{Tensor, TensorOf, address};

/// `Steps` of the kernel.
#[repr(C)]
#[derive(Default)]
struct Steps {
    count: i32,
    kind: [i32; MAX_IMAGE_STEPS],
    padding: [i32; MAX_IMAGE_STEPS],
    purpose: [u32; MAX_IMAGE_STEPS],
}

// SAFETY: the same fields of the same sizes in the same order.
unsafe impl Argument for Steps {}

pub(crate) fn image_batch(
    gpu: &'static Gpu,
    images: &TensorOf<u8>,
    samples: &TensorOf<i32>,
    tables: &[[f32; 256]],
    steps: &[(ImageStep, random::Purpose)],
    key: random::Key,
) -> Tensor {
    let (pixels, samples) = (gpu.operand(images).contiguous(), gpu.operand(samples).contiguous());
    let [n, c, h, w] = [samples.numel(), pixels.shape()[1], pixels.shape()[2], pixels.shape()[3]];
    let mut of_kernel = Steps { count: steps.len() as i32, ..Steps::default() };
    for (k, (step, purpose)) in steps.iter().enumerate() {
        if let ImageStep::Crop { padding } = *step {
            of_kernel.padding[k] = padding as i32;
        }
        of_kernel.kind[k] = i32::from(*step == ImageStep::Flip);
        of_kernel.purpose[k] = purpose.number();
    }
    let y = gpu.tensor(Layout::contiguous(Shape::from([n, c, h, w])));
    checked(y.numel());
    let (to, from, order, table) = (address(&y), address(&pixels), address(&samples), gpu.table(tables));
    let [tables, images, c, h, w] = [tables.len(), pixels.shape()[0], c, h, w].map(|length| length as i32);
    let fault = gpu.step_block.fault();
    let arguments: [&dyn Argument; 12] =
        [&to, &from, &order, &table, &tables, &images, &c, &h, &w, &Key::from(key), &of_kernel, &fault];
    let grid = Grid { blocks: [n as u32, 1, 1], threads: THREADS, shared: 0 };
    // SAFETY: y has an image for each sample, the kernel reads sample 0 for one out of range, and tables have 256 entries.
    unsafe { gpu.launch(Family::Augment, ("image_batch", "f32"), grid, arguments) };
    y
}
