//! Convolution, relu and max pooling, a few images at a time, so that what lies between them stays in the cache: for 2×2
//! windows it is four times as large as what comes out, and so is its gradient.

use std::ops::Range;

use crate::cpu::conv::{add_pairwise, conv2d, input_gradient, scratch, weight_gradient};
use crate::cpu::images::Images;
use crate::cpu::pooling::{max_pool, scatter2d};
use crate::cpu::reduce;
use crate::element::Float;
use crate::kernel::PoolPlaces;
use crate::parallel::{Disjoint, parallel_for};
use crate::shape::Shape;
use crate::shape_rules::{self, Conv2dOptions, Window};
use crate::tensor::TensorOf;

/// The bytes between convolution and pooling of a block: a part of the second-level cache.
const BLOCK_BYTES: usize = 192 << 10;
/// As many blocks as keep the threads busy.
const BLOCKS: usize = 16;
/// The most bytes of a weight, which every block reads anew, after its transformation too.
const WEIGHT_BYTES: usize = 16 << 10;

/// The images of a batch, a few at a time.
struct Blocks {
    images: usize,
    at_once: usize,
}

impl Blocks {
    /// For a weight (O,C/groups,kh,kw) and images (N,O,oh,ow) between convolution and pooling.
    fn new<T>(w: Shape, between: Shape) -> Self {
        let images = between[0];
        if w.numel() * size_of::<T>() > WEIGHT_BYTES {
            return Self { images, at_once: images };
        }
        let image = between[1] * between[2] * between[3] * size_of::<T>();
        Self { images, at_once: (BLOCK_BYTES / image.max(1)).min(images / BLOCKS).max(1) }
    }

    fn len(&self) -> usize {
        self.images.div_ceil(self.at_once.max(1))
    }

    fn range(&self, block: usize) -> Range<usize> {
        block * self.at_once..((block + 1) * self.at_once).min(self.images)
    }

    fn for_each(&self, body: impl Fn(usize, Range<usize>) + Sync) {
        parallel_for(self.len(), 1, |blocks| {
            for block in blocks {
                body(block, self.range(block));
            }
        });
    }
}

pub(crate) fn relu_max_pool<T: Float>(
    x: &TensorOf<T>,
    w: &TensorOf<T>,
    b: Option<&TensorOf<T>>,
    options: Conv2dOptions,
    windows: &[Vec<Window>; 2],
) -> (TensorOf<T>, PoolPlaces) {
    let between = shape_rules::conv2d(x.shape(), w.shape(), None, options).expect("the caller checked the shapes");
    let blocks = Blocks::new::<T>(w.shape(), between);
    if blocks.len() <= 1 {
        return max_pool(&conv2d(x, w, b, options), windows, true);
    }
    let shape = between.with(2, windows[0].len()).with(3, windows[1].len());
    let layout = Images::new(x.layout()).formatted(shape);
    let (mut y, mut index) = (TensorOf::uninitialized(layout), TensorOf::uninitialized(layout));
    let image = shape.numel() / blocks.images;
    {
        let (y, index) = (Disjoint::new(y.buffer_mut().0), Disjoint::new(index.buffer_mut().0));
        blocks.for_each(|_, images| {
            let part = conv2d(&x.narrow(0, images.clone()), w, b, options);
            let (part, places) = max_pool(&part, windows, true);
            let place = images.start * image..images.end * image;
            // SAFETY: these images are this block's alone, and in either memory format lie right behind one another.
            unsafe {
                y.slice(place.clone()).copy_from_slice(part.buffer());
                index.slice(place).copy_from_slice(places.index().buffer());
            }
        });
    }
    (y, PoolPlaces::new(index, windows))
}

/// The gradients of x, w and b that are wanted: dx (N,C,H,W), dw (O,C/groups,kh,kw), db (O).
pub(crate) fn relu_max_pool_backward<T: Float>(
    [x, w, dy]: [&TensorOf<T>; 3],
    places: &PoolPlaces,
    options: Conv2dOptions,
    wanted: [bool; 3],
) -> [Option<TensorOf<T>>; 3] {
    let between = shape_rules::conv2d(x.shape(), w.shape(), None, options).expect("the caller checked the shapes");
    let blocks = Blocks::new::<T>(w.shape(), between);
    // Of some images: x and dy of them, and their places.
    let gradients = |x: &TensorOf<T>, dy: &TensorOf<T>, places: &PoolPlaces| {
        let dz = scatter2d(dy, places, [between[2], between[3]]);
        [
            wanted[0].then(|| input_gradient(&dz, w, [x.shape()[2], x.shape()[3]], options)),
            wanted[1].then(|| weight_gradient(x, &dz, [w.shape()[2], w.shape()[3]], options)),
            wanted[2].then(|| reduce::sum(&dz, &[true, false, true, true]).reshape(between[1])),
        ]
    };
    if blocks.len() <= 1 {
        return gradients(x, dy, places);
    }
    let (dw_len, db_len) = (w.numel(), between[1]);
    let room = |len: usize, wanted: bool| if wanted { blocks.len() * len } else { 0 };
    let (mut dw, mut db) = (scratch(room(dw_len, wanted[1])), scratch(room(db_len, wanted[2])));
    let mut dx = wanted[0].then(|| TensorOf::uninitialized(Images::new(dy.layout()).formatted(x.shape())));
    {
        let dx = dx.as_mut().map(|dx| Disjoint::new(dx.buffer_mut().0));
        let (dw, db) = (Disjoint::new(dw.buffer_mut().0), Disjoint::new(db.buffer_mut().0));
        let image = x.numel() / blocks.images;
        blocks.for_each(|block, images| {
            let of = |all: &TensorOf<T>| all.narrow(0, images.clone());
            let [dx_part, dw_part, db_part] = gradients(&of(x), &of(dy), &places.narrow(images.clone()));
            // SAFETY: the places of a block are its alone; images lie right behind one another in either memory format.
            unsafe {
                if let (Some(dx), Some(part)) = (&dx, dx_part) {
                    dx.slice(images.start * image..images.end * image).copy_from_slice(part.buffer());
                }
                if let Some(part) = dw_part {
                    dw.slice(block * dw_len..(block + 1) * dw_len).copy_from_slice(part.buffer());
                }
                if let Some(part) = db_part {
                    db.slice(block * db_len..(block + 1) * db_len).copy_from_slice(part.buffer());
                }
            }
        });
    }
    let total = |mut parts: TensorOf<T>, shape: Shape, wanted: bool| {
        wanted.then(|| {
            add_pairwise(parts.buffer_mut().0, shape.numel());
            TensorOf::from_slice(&parts.buffer()[..shape.numel()], shape)
        })
    };
    [dx, total(dw, w.shape(), wanted[1]), total(db, db_len.into(), wanted[2])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::images::testing::{elements, layouts};

    #[test]
    fn agrees_with_one_kernel_after_another_on_every_layout() {
        let options = Conv2dOptions { stride: [1, 2], ..Conv2dOptions::padded(1) };
        let w = &layouts::<f64>([4, 3, 3, 2], 1)[0];
        let b = &layouts::<f64>([1, 1, 1, 4], 2)[0].reshape([4]);
        for (x, dy) in layouts::<f64>([5, 3, 7, 6], 3).iter().zip(layouts::<f64>([5, 4, 3, 2], 4).iter().rev()) {
            let z = conv2d(x, w, Some(b), options);
            let windows = shape_rules::pool2d("max_pool2d", z.shape(), 2.into()).unwrap();
            let (y, places) = max_pool(&z, &windows, true);
            let (fused, fused_places) = relu_max_pool(x, w, Some(b), options, &windows);
            assert_eq!(elements(&fused), elements(&y));
            assert_eq!(elements(fused_places.index()), elements(places.index()));

            let dz = scatter2d(dy, &places, [z.shape()[2], z.shape()[3]]);
            let expected = [
                input_gradient(&dz, w, [7, 6], options),
                weight_gradient(x, &dz, [3, 2], options),
                reduce::sum(&dz, &[true, false, true, true]).reshape([4]),
            ];
            for wanted in [[true, true, true], [false, true, true], [true, false, false]] {
                let found = relu_max_pool_backward([x, w, dy], &fused_places, options, wanted);
                for ((found, expected), wanted) in found.iter().zip(&expected).zip(wanted) {
                    let Some(found) = found else {
                        assert!(!wanted);
                        continue;
                    };
                    assert!(wanted && found.shape() == expected.shape());
                    for (a, b) in elements(found).iter().zip(elements(expected)) {
                        assert!((a - b).abs() < 1e-12, "{a} {b}");
                    }
                }
            }
        }
    }
}
