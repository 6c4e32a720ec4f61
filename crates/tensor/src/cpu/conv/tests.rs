//! Compared with the definitions, seven loops each, in f64.

use super::*;
use crate::cpu::simd::at_each_level;
use crate::parallel::with_threads;
use crate::shape_rules::{self, Conv2dOptions};
use crate::tensor::Tensor64;

fn geometry<T: Float>(x: &TensorOf<T>, w: &TensorOf<T>, options: Conv2dOptions) -> ConvGeometry {
    ConvGeometry::new(x.shape(), w.shape(), None, options).unwrap()
}

fn numbers(shape: impl Into<Shape>, seed: usize) -> Tensor64 {
    Tensor64::from_fn(shape, |i| ((i * 7919 + seed * 104_729 + 17) % 1009) as f64 / 504.5 - 1.0)
}

/// Calls `f(y index, x index, w index)` for every product of the convolution.
fn products(
    y: Shape,
    x: Shape,
    w: Shape,
    options: Conv2dOptions,
    mut f: impl FnMut([usize; 4], [usize; 4], [usize; 4]),
) {
    let Conv2dOptions { stride, padding, dilation, groups } = options;
    let per_group = y[1] / groups;
    for n in 0..y[0] {
        for o in 0..y[1] {
            for (i, j) in (0..y[2]).flat_map(|i| (0..y[3]).map(move |j| (i, j))) {
                for c in 0..w[1] {
                    for (p, q) in (0..w[2]).flat_map(|p| (0..w[3]).map(move |q| (p, q))) {
                        let row = (i * stride[0] + p * dilation[0]).wrapping_sub(padding[0]);
                        let column = (j * stride[1] + q * dilation[1]).wrapping_sub(padding[1]);
                        if row < x[2] && column < x[3] {
                            f([n, o, i, j], [n, o / per_group * w[1] + c, row, column], [o, c, p, q]);
                        }
                    }
                }
            }
        }
    }
}

fn close(name: &str, y: &Tensor64, expected: &Tensor64, case: &str) {
    assert_eq!(y.shape(), expected.shape(), "{name}, {case}");
    for (y, e) in y.to_vec().iter().zip(expected.to_vec()) {
        assert!((y - e).abs() < 1e-11, "{name}, {case}: {y} instead of {e}");
    }
}

fn sum_of_products(a: &Tensor64, b: &Tensor64) -> f64 {
    a.to_vec().iter().zip(b.to_vec()).map(|(a, b)| a * b).sum()
}

/// Checks all three kernels with these operands of any strides.
fn check(x: &Tensor64, w: &Tensor64, b: Option<&Tensor64>, options: Conv2dOptions) {
    let case = format!("x {} {:?}, w {}, {options:?}", x.shape(), x.layout().strides(), w.shape());
    let conv = geometry(x, w, options);
    let shape = conv.y();
    let mut expected = Tensor64::from_fn(shape, |i| b.map_or(0.0, |b| b.at(&[i / (shape[2] * shape[3]) % shape[1]])));
    let mut linear = Tensor64::zeros(shape);
    products(shape, x.shape(), w.shape(), options, |at, from, cell| {
        let product = x.at(&from) * w.at(&cell);
        let at = Layout::contiguous(shape).position(&at);
        expected.make_mut()[at] += product;
        linear.make_mut()[at] += product;
    });
    let y = convolve(x, w, b, &conv);
    close("conv2d", &y, &expected, &case);

    // dy in the memory format of the convolution's result.
    let mut dy = TensorOf::uninitialized(*y.layout());
    crate::kernel::ElementKernels::copy(&mut dy, &numbers(shape, 77));
    let (mut dx, mut dw) = (Tensor64::zeros(x.shape()), Tensor64::zeros(w.shape()));
    products(shape, x.shape(), w.shape(), options, |at, from, cell| {
        dx.make_mut()[Layout::contiguous(x.shape()).position(&from)] += dy.at(&at) * w.at(&cell);
        dw.make_mut()[Layout::contiguous(w.shape()).position(&cell)] += dy.at(&at) * x.at(&from);
    });
    let (gx, gw) = (input_gradient(&dy, w, &conv), weight_gradient(x, &dy, &conv));
    close("input_gradient", &gx, &dx, &case);
    close("weight_gradient", &gw, &dw, &case);

    // ⟨conv(x, w), dy⟩ = ⟨x, conv*(dy, w)⟩ = ⟨w, conv*(x, dy)⟩
    let product = sum_of_products(&linear, &dy);
    assert!((product - sum_of_products(x, &gx)).abs() < 1e-9, "{case}");
    assert!((product - sum_of_products(w, &gw)).abs() < 1e-9, "{case}");
}

fn options(stride: [usize; 2], padding: [usize; 2], dilation: [usize; 2], groups: usize) -> Conv2dOptions {
    Conv2dOptions { stride, padding, dilation, groups }
}

#[test]
fn the_three_kernels_match_their_definitions() {
    let one = [1, 1];
    for (x, w, options) in [
        ([2, 1, 9, 9], [8, 1, 3, 3], Conv2dOptions::padded(1)),
        ([3, 3, 7, 10], [5, 3, 3, 2], Conv2dOptions::default()),
        ([2, 4, 8, 7], [6, 4, 1, 1], Conv2dOptions::default()),
        ([2, 3, 6, 7], [9, 3, 1, 1], options([2, 3], [0, 0], one, 1)),
        ([1, 3, 5, 4], [2, 3, 5, 4], Conv2dOptions::default()),
        ([2, 2, 9, 8], [17, 2, 3, 3], options([2, 2], [1, 1], one, 1)),
        ([2, 2, 11, 13], [3, 2, 3, 4], options([3, 2], [2, 0], [2, 3], 1)),
        ([2, 2, 5, 6], [3, 2, 3, 3], options(one, [4, 3], one, 1)),
        ([2, 6, 7, 5], [4, 3, 3, 3], options([1, 2], [1, 2], [1, 1], 2)),
        ([2, 5, 6, 6], [10, 1, 3, 3], options([2, 1], [1, 1], one, 5)),
        ([1, 2, 20, 21], [3, 2, 2, 3], options([4, 3], [1, 1], [3, 5], 1)),
        ([1, 1, 4, 70], [1, 1, 3, 1], options(one, [1, 0], one, 1)),
        ([37, 2, 4, 3], [3, 2, 3, 3], Conv2dOptions::padded(1)),
        ([1, 40, 40, 40], [1, 40, 3, 3], Conv2dOptions::padded(1)),
        ([1, 1, 2, 2], [1, 1, 1, 1], options(one, [3, 3], one, 1)),
    ] {
        check(&numbers(x, 1), &numbers(w, 2), Some(&numbers(w[0], 3)), options);
        check(&numbers(x, 4), &numbers(w, 5), None, options);
    }
}

#[test]
fn operands_have_any_strides() {
    let w = numbers([3, 3, 4, 5], 2).permute(&[3, 2, 0, 1]).narrow(0, 1..5);
    let b = numbers([2], 3).slice(0, 1, 2, -1).unsqueeze(1).broadcast_to([2, 2]).reshape([4]);
    for options in [Conv2dOptions::padded(1), options([2, 2], [1, 0], [2, 1], 1)] {
        let x = numbers([2, 4, 9, 8], 1);
        for x in [
            x.channels_last(),
            x.permute(&[0, 1, 3, 2]),
            x.slice(2, 8, 9, -1).slice(3, 0, 4, 2).slice(3, 3, 4, -1),
            x.narrow(1, 2..3).broadcast_to([2, 4, 9, 8]),
            numbers([4, 2, 9, 8], 1).permute(&[1, 0, 2, 3]),
        ] {
            check(&x, &w, Some(&b), options);
        }
    }
}

#[test]
fn results_keep_the_memory_format() {
    let x = numbers([2, 3, 6, 6], 1);
    let w = numbers([4, 3, 3, 3], 2);
    let conv = geometry(&x, &w, Conv2dOptions::default());
    let y = convolve(&x.channels_last(), &w, None, &conv);
    assert_eq!(y.layout().strides()[1], 1);
    assert_eq!(input_gradient(&y, &w, &conv).layout().strides()[1], 1);
    assert!(convolve(&x, &w, None, &conv).layout().is_contiguous());
}

#[test]
fn an_empty_batch_has_an_empty_result_and_no_gradient() {
    let (x, w) = (numbers([0, 3, 6, 6], 1), numbers([4, 3, 3, 3], 2));
    let conv = geometry(&x, &w, Conv2dOptions::default());
    let y = convolve(&x, &w, None, &conv);
    assert_eq!(y.shape(), [0, 4, 4, 4]);
    assert_eq!(input_gradient(&y, &w, &conv).shape(), [0, 3, 6, 6]);
    assert!(weight_gradient(&x, &y, &conv).to_vec() == [0.0; 108]);
}

/// All three results for f32 and f64, as bits.
fn bits() -> Vec<u64> {
    let mut bits = Vec::new();
    for (x, w, options) in [
        ([20, 3, 12, 11], [10, 3, 3, 3], Conv2dOptions::padded(1)),
        ([1, 6, 40, 37], [18, 3, 3, 3], options([2, 1], [1, 2], [1, 2], 2)),
    ] {
        let (x, w, b) = (numbers(x, 1), numbers(w, 2), numbers(w[0], 3));
        let (x32, w32, b32) = (x.to_f32(), w.to_f32(), b.to_f32());
        let conv = &geometry(&x, &w, options);
        let y = convolve(&x, &w, Some(&b), conv);
        let y32 = convolve(&x32, &w32, Some(&b32), conv);
        let wide = [&y, &input_gradient(&y, &w, conv), &weight_gradient(&x, &y, conv)];
        let narrow = [&y32, &input_gradient(&y32, &w32, conv), &weight_gradient(&x32, &y32, conv)];
        for (wide, narrow) in wide.into_iter().zip(narrow) {
            for (a, b) in wide.to_vec().into_iter().zip(narrow.to_vec()) {
                assert!((a - f64::from(b)).abs() < 1e-3 * (1.0 + a.abs()), "f64 {a}, f32 {b}");
                bits.extend([a.to_bits(), u64::from(b.to_bits())]);
            }
        }
    }
    bits
}

#[test]
fn any_number_of_threads_gives_the_same_bits_at_each_level() {
    at_each_level(|level| assert!(with_threads(1, bits) == with_threads(3, bits), "{level:?}"));
}

#[test]
fn every_level_matches_the_definitions() {
    let options = Conv2dOptions { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };
    at_each_level(|_| check(&numbers([2, 5, 9, 37], 1), &numbers([13, 5, 3, 3], 2), Some(&numbers(13, 3)), options));
}

#[test]
fn one_product_for_few_pixels_matches_the_definitions() {
    let one = [1, 1];
    for (x, w, options) in [
        ([1, 50, 4, 4], [150, 50, 3, 3], Conv2dOptions::padded(1)),
        ([3, 260, 5, 7], [64, 260, 2, 2], options([2, 3], [1, 0], [2, 1], 1)),
        ([2, 256, 6, 5], [256, 256, 1, 1], options(one, [0, 0], one, 1)),
    ] {
        assert_eq!(
            Algorithm::new::<f64>(&geometry(&numbers(x, 1), &numbers(w, 2), options), w.into()),
            Algorithm::Whole
        );
        at_each_level(|_| check(&numbers(x, 1), &numbers(w, 2), Some(&numbers(w[0], 3)), options));
        check(&numbers(x, 1).channels_last(), &numbers(w, 2).channels_last(), None, options);
    }
}

#[test]
fn products_with_blocks_of_the_im2col_matrix_match_the_definitions() {
    let cases = [
        // x, w, stride, padding, dilation, groups: `im2col` applies to each.
        ([3, 16, 9, 9], [32, 16, 3, 3], [2, 2], [1, 1], [1, 1], 1),
        ([5, 67, 7, 5], [33, 67, 1, 1], [1, 1], [0, 0], [1, 1], 1),
        ([2, 40, 11, 6], [34, 20, 3, 2], [3, 2], [2, 1], [2, 1], 2),
        ([9, 130, 2, 2], [16, 130, 3, 3], [1, 1], [1, 1], [1, 1], 1),
        ([1, 300, 3, 3], [20, 300, 3, 3], [2, 1], [1, 1], [1, 1], 1),
    ];
    for (x, w, stride, padding, dilation, groups) in cases {
        let options = Conv2dOptions { stride, padding, dilation, groups };
        let y = shape_rules::conv2d(x.into(), w.into(), None, options).unwrap();
        assert!(im2col::applies(w.into(), options, y), "{x:?} {w:?}");
        let (xs, ws, b) = (numbers(x, 1), numbers(w, 2), numbers(w[0], 3));
        at_each_level(|_| check(&xs, &ws, Some(&b), options));
        let last = xs.permute(&[0, 2, 3, 1]).contiguous().permute(&[0, 3, 1, 2]);
        check(&last, &ws, None, options);
        let (xs, ws) = (xs.to_f32(), ws.to_f32());
        let all = || {
            let y = xs.conv2d(&ws, None, options);
            let dx = y.conv2d_input_gradient(&ws, [x[2], x[3]], options);
            [y.to_vec(), dx.to_vec(), xs.conv2d_weight_gradient(&y, [w[2], w[3]], options).to_vec()]
        };
        assert!(with_threads(1, all) == with_threads(3, all));
    }
}
