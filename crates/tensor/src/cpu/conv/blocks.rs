//! A batch split into blocks of images, by shapes alone. Sums over images, such as the gradients of a convolution's
//! parameters, are computed per block and then added pairwise. So a fused convolution whose gradient is never in memory as
//! a whole (`pooled`) gives the same bits as an unfused one.

use std::ops::Range;

use crate::cpu::conv::{add_pairwise, scratch, weight_gradient};
use crate::cpu::reduce;
use crate::element::Float;
use crate::geometry::ConvGeometry;
use crate::parallel::{Disjoint, parallel_for};
use crate::shape::Shape;
use crate::tensor::TensorOf;

/// The bytes of a block's results: a part of the L2 cache.
const BLOCK_BYTES: usize = 192 << 10;
/// The minimum number of blocks, enough for all threads.
const BLOCKS: usize = 16;
/// The maximum bytes of a weight, which every block reads, including its transformed copy.
const WEIGHT_BYTES: usize = 16 << 10;

/// The blocks of a batch.
pub(super) struct Blocks {
    pub(super) images: usize,
    at_once: usize,
}

impl Blocks {
    /// The blocks for the images of a convolution.
    pub(super) fn new<T>(conv: &ConvGeometry) -> Self {
        let (w, y) = (conv.w(), conv.y());
        let images = y[0];
        if w.numel() * size_of::<T>() > WEIGHT_BYTES {
            return Self { images, at_once: images };
        }
        let image = y[1] * y[2] * y[3] * size_of::<T>();
        Self { images, at_once: (BLOCK_BYTES / image.max(1)).min(images / BLOCKS).max(1) }
    }

    pub(super) fn len(&self) -> usize {
        self.images.div_ceil(self.at_once.max(1))
    }

    fn range(&self, block: usize) -> Range<usize> {
        block * self.at_once..((block + 1) * self.at_once).min(self.images)
    }

    pub(super) fn for_each(&self, body: impl Fn(usize, Range<usize>) + Sync) {
        parallel_for(self.len(), 1, |blocks| {
            for block in blocks {
                body(block, self.range(block));
            }
        });
    }
}

/// The requested gradients of a convolution's parameters, dw (O,C/groups,kh,kw) and db (O).
pub(super) type OfParameters<T> = [Option<TensorOf<T>>; 2];

/// The gradients of one block: x (N,C,H,W), dy (N,O,oh,ow).
pub(super) fn of_block<T: Float>(
    x: &TensorOf<T>,
    dy: &TensorOf<T>,
    conv: &ConvGeometry,
    wanted: [bool; 2],
) -> OfParameters<T> {
    [wanted[0].then(|| weight_gradient(x, dy, conv)), wanted[1].then(|| reduce::sum_to_axis(dy, 1))]
}

/// The sum over all blocks of the results of `body`; dw has the shape of w.
pub(super) fn sum_over<T: Float>(
    blocks: &Blocks,
    w: Shape,
    wanted: [bool; 2],
    body: impl Fn(Range<usize>) -> OfParameters<T> + Sync,
) -> OfParameters<T> {
    let shapes = [w, w[0].into()];
    let len = |i: usize| if wanted[i] { shapes[i].numel() } else { 0 };
    let mut parts = [0, 1].map(|i| scratch(blocks.len() * len(i)));
    {
        let parts = parts.each_mut().map(|parts| Disjoint::new(parts.buffer_mut().0));
        blocks.for_each(|block, images| {
            for ((i, to), from) in parts.iter().enumerate().zip(body(images)) {
                if let Some(from) = from {
                    // SAFETY: each block writes its own element.
                    let to = unsafe { to.slice(block * len(i)..(block + 1) * len(i)) };
                    to.copy_from_slice(from.buffer());
                }
            }
        });
    }
    let mut total = parts.into_iter().zip(shapes).zip(wanted).map(|((mut parts, shape), wanted)| {
        wanted.then(|| {
            add_pairwise(parts.buffer_mut().0, shape.numel());
            TensorOf::from_slice(&parts.buffer()[..shape.numel()], shape)
        })
    });
    std::array::from_fn(|_| total.next().expect("there are two"))
}

/// The requested gradients of w (O,C/groups,kh,kw) and b (O): x (N,C,H,W), dy (N,O,oh,ow).
pub(crate) fn parameter_gradients<T: Float>(
    x: &TensorOf<T>,
    dy: &TensorOf<T>,
    conv: &ConvGeometry,
    wanted: [bool; 2],
) -> OfParameters<T> {
    let blocks = Blocks::new::<T>(conv);
    if blocks.len() <= 1 {
        return of_block(x, dy, conv, wanted);
    }
    sum_over(&blocks, conv.w(), wanted, |images| {
        let conv = conv.of_images(images.len());
        of_block(&x.narrow(0, images.clone()), &dy.narrow(0, images), &conv, wanted)
    })
}
