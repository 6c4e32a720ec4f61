//! Fused convolution, relu and max pooling, so that the intermediate result stays in the cache: for 2×2 windows it is four times as
//! large as the result, and so is its gradient. Direct sums of 2×2 windows of stride 2 are pooled before they are written; everything
//! else is done for a few images at a time if the weight is small, else for the whole batch. Rows and columns of the convolution that
//! no window reads are not computed where that saves work.

use crate::cpu::conv::blocks::{self, Blocks, OfParameters};
use crate::cpu::conv::{Algorithm, convolve, direct, input_gradient};
use crate::cpu::images::Images;
use crate::cpu::pooling::{relu_max_pool, scatter2d};
use crate::element::Float;
use crate::geometry::ConvGeometry;
use crate::kernel::PoolIndices;
use crate::parallel::Disjoint;
use crate::parameters::image::is_halving;
use crate::shape_rules::Window;
use crate::tensor::TensorOf;

pub(crate) fn conv2d_relu_max_pool<T: Float>(
    x: &TensorOf<T>,
    w: &TensorOf<T>,
    b: Option<&TensorOf<T>>,
    conv: &ConvGeometry,
    windows: &[Vec<Window>; 2],
) -> (TensorOf<T>, PoolIndices) {
    let blocks = Blocks::new::<T>(conv);
    let conv = &conv.using(windows.each_ref().map(|axis| axis.iter().map(|window| window.end).max().unwrap_or(0)));
    let shape = conv.y().with(2, windows[0].len()).with(3, windows[1].len());
    let layout = Images::new(x.layout()).formatted(shape);
    let direct = matches!(Algorithm::new::<T>(conv, conv.y()), Algorithm::Direct);
    if direct && layout.is_contiguous() && windows.iter().all(|axis| is_halving(axis)) {
        let (mut y, mut index) = (TensorOf::uninitialized(layout), TensorOf::uninitialized(layout));
        direct::convolve_relu_max_pool(x, w, b, conv, (&mut y, &mut index));
        return (y, PoolIndices::new(index, windows));
    }
    if blocks.len() <= 1 {
        return relu_max_pool(&convolve(x, w, b, conv), windows);
    }
    let (mut y, mut index) = (TensorOf::uninitialized(layout), TensorOf::uninitialized(layout));
    let image = shape.numel() / blocks.images;
    {
        let (y, index) = (Disjoint::new(y.buffer_mut().0), Disjoint::new(index.buffer_mut().0));
        blocks.for_each(|_, images| {
            let part = convolve(&x.narrow(0, images.clone()), w, b, &conv.of_images(images.len()));
            let (part, indices) = relu_max_pool(&part, windows);
            let place = images.start * image..images.end * image;
            // SAFETY: no other block writes these images, and in either memory format they are contiguous.
            unsafe {
                y.slice(place.clone()).copy_from_slice(part.buffer());
                index.slice(place).copy_from_slice(indices.index().buffer());
            }
        });
    }
    (y, PoolIndices::new(index, windows))
}

/// The requested gradients of x, w and b: dx (N,C,H,W), dw (O,C/groups,kh,kw), db (O).
pub(crate) fn conv2d_relu_max_pool_backward<T: Float>(
    [x, w, dy]: [&TensorOf<T>; 3],
    indices: &PoolIndices,
    conv: &ConvGeometry,
    [for_x, for_w, for_b]: [bool; 3],
) -> [Option<TensorOf<T>>; 3] {
    let blocks = Blocks::new::<T>(conv);
    let rows_and_columns = [2, 3].map(|axis| 2 * indices.index().shape()[axis]);
    let conv = &if indices.squares() { conv.using(rows_and_columns) } else { *conv };
    // x, dy and the indices of some images.
    let gradients = |x: &TensorOf<T>, dy: &TensorOf<T>, indices: &PoolIndices| -> (_, OfParameters<T>) {
        let (dz, conv) = (scatter2d(dy, indices, conv.ohw()), conv.of_images(x.shape()[0]));
        let dx = for_x.then(|| input_gradient(&dz, w, &conv));
        (dx, blocks::of_block(x, &dz, &conv, [for_w, for_b]))
    };
    if blocks.len() <= 1 {
        let (dx, [dw, db]) = gradients(x, dy, indices);
        return [dx, dw, db];
    }
    let mut dx = for_x.then(|| TensorOf::uninitialized(Images::new(dy.layout()).formatted(x.shape())));
    let [dw, db] = {
        let dx = dx.as_mut().map(|dx| Disjoint::new(dx.buffer_mut().0));
        let image = x.numel() / blocks.images;
        blocks::sum_over(&blocks, w.shape(), [for_w, for_b], |images| {
            let of = |all: &TensorOf<T>| all.narrow(0, images.clone());
            let (part, of_parameters) = gradients(&of(x), &of(dy), &indices.narrow(images.clone()));
            if let (Some(dx), Some(part)) = (&dx, part) {
                // SAFETY: no other block writes these images, and in either memory format they are contiguous.
                let dx = unsafe { dx.slice(images.start * image..images.end * image) };
                dx.copy_from_slice(part.buffer());
            }
            of_parameters
        })
    };
    [dx, dw, db]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::conv::parameter_gradients;
    use crate::cpu::images::testing::{elements, layouts};
    use crate::cpu::simd::at_each_level;
    use crate::parallel::with_threads;
    use crate::shape_rules::{self, Conv2dOptions, Pool2dOptions};

    #[test]
    fn agrees_with_one_kernel_after_another_on_every_layout() {
        let options = Conv2dOptions { stride: [1, 2], ..Conv2dOptions::padded(1) };
        let w = &layouts::<f64>([4, 3, 3, 2], 1)[0];
        let b = &layouts::<f64>([1, 1, 1, 4], 2)[0].reshape([4]);
        for (x, dy) in layouts::<f64>([5, 3, 7, 6], 3).iter().zip(layouts::<f64>([5, 4, 3, 2], 4).iter().rev()) {
            let conv = &ConvGeometry::new(x.shape(), w.shape(), Some(b.shape()), options).unwrap();
            let z = convolve(x, w, Some(b), conv);
            let windows = shape_rules::pool2d("max_pool2d", z.shape(), 2.into()).unwrap();
            let (y, indices) = relu_max_pool(&z, &windows);
            let (fused, fused_indices) = conv2d_relu_max_pool(x, w, Some(b), conv, &windows);
            assert_eq!(elements(&fused), elements(&y));
            assert_eq!(elements(fused_indices.index()), elements(indices.index()));

            let dz = scatter2d(dy, &indices, [z.shape()[2], z.shape()[3]]);
            let [dw, db] = parameter_gradients(x, &dz, conv, [true, true]);
            let expected = [Some(input_gradient(&dz, w, conv)), dw, db];
            for wanted in [[true, true, true], [false, true, true], [true, false, false]] {
                let found = conv2d_relu_max_pool_backward([x, w, dy], &fused_indices, conv, wanted);
                for ((found, expected), wanted) in found.iter().zip(&expected).zip(wanted) {
                    assert_eq!(found.is_some(), wanted);
                    if let (Some(found), Some(expected)) = (found, expected) {
                        assert_eq!((found.shape(), elements(found)), (expected.shape(), elements(expected)));
                    }
                }
            }
        }
    }

    /// Of f32, so that −0 is not 0 and NaN is itself.
    fn bits(x: &TensorOf<f32>) -> Vec<u32> {
        elements(x).into_iter().map(f32::to_bits).collect()
    }

    /// The fused convolution and its gradients have the bits of one kernel after another, at every level.
    fn assert_same_bits(
        x: &TensorOf<f32>,
        w: &TensorOf<f32>,
        padding: usize,
        pool: Pool2dOptions,
        algorithm: Algorithm,
    ) {
        let b = &layouts::<f32>([1, 1, 1, w.shape()[0]], 3)[0].reshape(w.shape()[0]);
        let conv = &ConvGeometry::new(x.shape(), w.shape(), Some(b.shape()), Conv2dOptions::padded(padding)).unwrap();
        let windows = shape_rules::pool2d("max_pool2d", conv.y(), pool).unwrap();
        let case = format!("x {}, w {}, padding {padding}, {pool:?}", x.shape(), w.shape());
        assert_eq!(Algorithm::new::<f32>(conv, conv.y()), algorithm, "{case}");
        at_each_level(|level| {
            let z = convolve(x, w, Some(b), conv);
            let (y, indices) = relu_max_pool(&z, &windows);
            let dy = &layouts::<f32>([0, 1, 2, 3].map(|axis| y.shape()[axis]), 4)[0];
            let dz = scatter2d(dy, &indices, conv.ohw());
            let [dw, db] = parameter_gradients(x, &dz, conv, [true, true]).map(Option::unwrap);
            let expected = [input_gradient(&dz, w, conv), dw, db].map(|gradient| bits(&gradient));
            for threads in [1, 3] {
                with_threads(threads, || {
                    let (fused, fused_indices) = conv2d_relu_max_pool(x, w, Some(b), conv, &windows);
                    assert!(bits(&fused) == bits(&y), "{case}, {level:?}");
                    assert!(elements(fused_indices.index()) == elements(indices.index()), "{case}, {level:?}");
                    let found = conv2d_relu_max_pool_backward([x, w, dy], &fused_indices, conv, [true; 3]);
                    let found = found.map(|gradient| bits(&gradient.unwrap()));
                    for (name, (found, expected)) in ["dx", "dw", "db"].into_iter().zip(found.iter().zip(&expected)) {
                        assert!(found == expected, "{name}, {case}, {level:?}");
                    }
                });
            }
        });
    }

    #[test]
    fn the_bits_are_those_of_one_kernel_after_another() {
        // Also where no window reads the last row and column of the convolution, and where one row of planes exceeds a block.
        for (x, w, padding, algorithm) in [
            ([5, 3, 14, 13], [9, 3, 3, 3], 1, Algorithm::Direct),
            ([20, 1, 28, 28], [8, 1, 3, 3], 1, Algorithm::Direct),
            ([1, 64, 6, 1100], [3, 64, 3, 3], 1, Algorithm::Direct),
            ([2, 32, 7, 7], [40, 32, 3, 3], 2, Algorithm::Winograd),
            ([3, 40, 11, 11], [48, 40, 3, 3], 2, Algorithm::Winograd),
            ([7, 32, 3, 9], [32, 32, 3, 3], 2, Algorithm::Winograd),
        ] {
            let (x, w) = (&layouts::<f32>(x, 1)[0], &layouts::<f32>(w, 2)[0]);
            assert_same_bits(x, w, padding, 2.into(), algorithm);
        }
    }

    #[test]
    fn pixels_that_are_infinite_reach_gradients_as_if_no_tile_were_left_out() {
        let (x, w) = (&layouts::<f32>([2, 32, 7, 7], 1)[0], &layouts::<f32>([40, 32, 3, 3], 2)[0]);
        let mut pixels = elements(x);
        *pixels.last_mut().expect("there are pixels") = f32::INFINITY;
        assert_same_bits(&TensorOf::from_slice(&pixels, x.shape()), w, 2, 2.into(), Algorithm::Winograd);
    }

    #[test]
    fn windows_may_leave_out_many_rows_and_columns() {
        // Of 15×15 results of the convolution, 15, 12, 12, 9 and 10 rows and columns are read.
        let w = &layouts::<f32>([32, 32, 3, 3], 2)[0];
        for (kernel, stride) in [(3_usize, 3), (4, 4), (6, 6), (2, 7), (3, 7)] {
            let pool = Pool2dOptions { stride: [stride; 2], ..Pool2dOptions::from(kernel) };
            // Contiguous and channels-last.
            for x in &layouts::<f32>([2, 32, 17, 17], 1)[..2] {
                assert_same_bits(x, w, 0, pool, Algorithm::Winograd);
            }
        }
    }
}
