//! Batches of images made on the device: `kernels/cuda/augment.cu`.

use chainrule_kernels::Family;

use super::random::Key;
use crate::gpu::launch::{Argument, Grid, THREADS, checked};
use crate::layout::Layout;
use crate::random;
use crate::shape::Shape;
use crate::tensor::{Tensor, TensorOf, address};

/// The most steps that a batch's images go through.
pub const MAX_STEPS: usize = 4;

/// What is done to an image on its way into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageStep {
    /// Zeros are added on each side, and a window of the old size is cut out at a random place.
    Crop {
        /// The zeros on each side.
        padding: usize,
    },
    /// Left and right are exchanged with probability ½.
    Flip,
}

/// Which images make a batch, and how.
#[derive(Clone, Copy, Debug)]
pub struct ImageBatch<'a> {
    /// All images, (N,C,H,W), on a GPU.
    pub pixels: &'a TensorOf<u8>,
    /// The samples of the batch, (n), there too: numbers from 0 to N − 1.
    pub samples: &'a TensorOf<i32>,
    /// What each byte becomes: one table for all channels or one for each.
    pub tables: &'a [[f32; 256]],
    /// The steps, each with the purpose of its random numbers.
    pub steps: &'a [(ImageStep, random::Purpose)],
    /// Where the random numbers come from; the sample and the purpose are each step's own.
    pub key: random::Key,
}

/// `Steps` of the kernel.
#[repr(C)]
#[derive(Default)]
struct Steps {
    count: i32,
    kind: [i32; MAX_STEPS],
    padding: [i32; MAX_STEPS],
    purpose: [u32; MAX_STEPS],
}

// SAFETY: the same fields of the same sizes in the same order.
unsafe impl Argument for Steps {}

/// The batch as numbers, (n,C,H,W).
///
/// # Panics
/// If the pixels or the samples are not on the same GPU, there are more than [`MAX_STEPS`] steps, or the tables are not as
/// many as the channels.
pub fn image_batch(batch: ImageBatch<'_>) -> Tensor {
    let ImageBatch { pixels, samples, tables, steps, key } = batch;
    let gpu = pixels.gpu().expect("the images are on a GPU");
    let (pixels, samples) = (pixels.contiguous(), gpu.operand(samples).contiguous());
    let [n, c, h, w] = [samples.numel(), pixels.shape()[1], pixels.shape()[2], pixels.shape()[3]];
    assert!(steps.len() <= MAX_STEPS, "image_batch: {} steps, at most {MAX_STEPS}", steps.len());
    assert!(tables.len() == 1 || tables.len() == c, "image_batch: {} tables for {c} channels", tables.len());
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
    let grid = Grid { blocks: [n as u32, 1, 1], threads: THREADS };
    // SAFETY: y has an image for each sample, the kernel takes no sample beyond the images, and tables have 256 entries.
    unsafe { gpu.launch(Family::Augment, ("image_batch", "f32"), grid, arguments) };
    y
}
