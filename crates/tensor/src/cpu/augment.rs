//! Image batches from bytes: selected samples, cropped and flipped at random, and normalized.

use crate::kernel::{ImageStep, MAX_IMAGE_STEPS};
use crate::layout::Layout;
use crate::parallel::{Disjoint, parallel_for};
use crate::random::{Key, Purpose};
use crate::shape::Shape;
use crate::tensor::{Tensor, TensorOf};

/// A step with its random numbers drawn.
#[derive(Clone, Copy)]
enum Drawn {
    /// Rows and columns that the window moves down and to the right.
    Moved([isize; 2]),
    Flipped,
    Kept,
}

fn draw(step: ImageStep, key: Key) -> Drawn {
    let mut rng = key.rng();
    match step {
        ImageStep::Crop { padding } => {
            let places = 2 * padding as u32 + 1;
            Drawn::Moved([0, 1].map(|_| rng.below(places) as isize - padding as isize))
        }
        ImageStep::Flip if rng.next_u32() >> 31 == 1 => Drawn::Flipped,
        ImageStep::Flip => Drawn::Kept,
    }
}

/// The source of a pixel of the result, `None` outside the image; steps are undone from the last to the first.
fn source(steps: &[Drawn], [h, w]: [usize; 2], [row, column]: [usize; 2]) -> Option<[usize; 2]> {
    steps.iter().rev().try_fold([row, column], |[row, column], step| match *step {
        Drawn::Moved([down, right]) => {
            let (row, column) = (row.checked_add_signed(down)?, column.checked_add_signed(right)?);
            (row < h && column < w).then_some([row, column])
        }
        Drawn::Flipped => Some([row, w - 1 - column]),
        Drawn::Kept => Some([row, column]),
    })
}

pub(crate) fn image_batch(
    images: &TensorOf<u8>,
    samples: &TensorOf<i32>,
    tables: &[[f32; 256]],
    steps: &[(ImageStep, Purpose)],
    key: Key,
) -> Tensor {
    let [n, c, h, w] = [samples.numel(), images.shape()[1], images.shape()[2], images.shape()[3]];
    let mut y = Tensor::uninitialized(Layout::contiguous(Shape::from([n, c, h, w])));
    let (from, at) = (images.buffer(), images.layout());
    let (order, place) = (samples.buffer(), samples.layout());
    let out = Disjoint::new(y.own_buffer_mut().0);
    parallel_for(n, 1, |range| {
        for i in range {
            let sample = order[place.position(&[i])] as usize;
            let mut drawn = [Drawn::Kept; MAX_IMAGE_STEPS];
            for (drawn, &(step, purpose)) in drawn.iter_mut().zip(steps) {
                *drawn = draw(step, Key { purpose, ..key.for_sample(sample as u32) });
            }
            // SAFETY: each image belongs to one task.
            let y = unsafe { out.slice(i * c * h * w..(i + 1) * c * h * w) };
            for (k, y) in y.iter_mut().enumerate() {
                let channel = k / (h * w);
                let source = source(&drawn[..steps.len()], [h, w], [k / w % h, k % w]);
                let byte = source.map_or(0, |[row, column]| from[at.position(&[sample, channel, row, column])]);
                *y = tables[channel % tables.len()][usize::from(byte)];
            }
        }
    });
    y
}
