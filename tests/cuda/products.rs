//! Products and convolutions with and without tensor cores, compared with the CPU in `f64`.

use chainrule_autograd::Var;
use chainrule_tensor::cuda::{Precision, set_precision};
use chainrule_tensor::{
    Binary, Conv2dOptions, Device, Epilogue, Key, Pool2dOptions, Purpose, Tensor, Tensor64, Unary, shape_rules,
};

use crate::GPU;

pub fn random(salt: u32, shape: &[usize]) -> Tensor {
    Tensor::random_normal(Key::new(7, Purpose::USER).at_step(salt), shape)
}

/// The largest difference, relative to the largest element.
#[track_caller]
pub fn error(found: &Tensor, expected: &Tensor64) -> f64 {
    assert_eq!(found.shape(), expected.shape());
    assert_eq!(found.device(), GPU);
    let (found, expected) = (found.to_vec(), expected.to_vec());
    let scale = expected.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    found.iter().zip(&expected).map(|(&a, &b)| (f64::from(a) - b).abs() / scale).fold(0.0, |a: f64, b| {
        assert!(!b.is_nan(), "a result is NaN");
        a.max(b)
    })
}

/// N, C, H, W, O, kernel, stride, padding, dilation.
const CONVOLUTIONS: [[usize; 9]; 15] = [
    [3, 8, 9, 7, 12, 3, 1, 1, 1],
    [2, 4, 12, 12, 8, 3, 2, 1, 1],
    [2, 16, 6, 6, 72, 1, 2, 0, 1],
    [1, 12, 11, 10, 4, 5, 1, 2, 2],
    [130, 20, 1, 1, 68, 1, 1, 0, 1],
    [40, 8, 8, 8, 16, 3, 1, 1, 1],
    // Several tiles along each axis of a result.
    [3, 136, 8, 7, 144, 3, 1, 1, 1],
    // Few elements with long sums, which use split-K.
    [2, 64, 4, 4, 72, 3, 1, 1, 1],
    [1, 48, 5, 5, 64, 3, 2, 1, 1],
    [3, 128, 5, 5, 8, 1, 1, 0, 1],
    [42, 128, 5, 5, 8, 1, 1, 0, 1],
    // Channels that are not a multiple of four.
    [3, 3, 8, 8, 5, 3, 1, 1, 1],
    [5, 1, 9, 9, 6, 5, 2, 2, 1],
    [30, 3, 16, 16, 8, 3, 1, 1, 1],
    [3, 16, 6, 6, 5, 3, 1, 1, 1],
];

fn convolutions(tolerance: f64) {
    for (salt, [n, c, h, w, o, kernel, stride, padding, dilation]) in CONVOLUTIONS.into_iter().enumerate() {
        let options = Conv2dOptions {
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [dilation; 2],
            ..Conv2dOptions::default()
        };
        let salt = 10 * salt as u32;
        let (x, weight, b) =
            (random(salt, &[n, c, h, w]), random(salt + 1, &[o, c, kernel, kernel]), random(salt + 2, &[o]));
        let y = x.to_f64().conv2d(&weight.to_f64(), Some(&b.to_f64()), options);
        let dy = random(salt + 3, &y.shape());
        let dx = dy.to_f64().conv2d_input_gradient(&weight.to_f64(), [h, w], options);
        let dw = x.to_f64().conv2d_weight_gradient(&dy.to_f64(), [kernel; 2], options);
        let db = dy.to_f64().sum(&[0, 2, 3], false);
        let [x, weight, b, dy] = [x, weight, b, dy].map(|x| x.to(GPU));
        let both = x.conv2d_parameter_gradients(&dy, [kernel; 2], options, [true, true]);
        let [dw_of_both, db_of_both] = both.map(|gradient| gradient.expect("it was requested"));
        let [_, db_alone] = x.conv2d_parameter_gradients(&dy, [kernel; 2], options, [false, true]);
        let found = [
            error(&x.conv2d(&weight, Some(&b), options), &y),
            error(&dy.channels_last().conv2d_input_gradient(&weight, [h, w], options), &dx),
            error(&x.conv2d_weight_gradient(&dy, [kernel; 2], options), &dw),
            error(&dw_of_both, &dw),
            error(&db_of_both, &db),
            error(&db_alone.expect("it was requested"), &db),
        ];
        assert!(found.iter().all(|&error| error < tolerance), "{:?}: {found:?}", CONVOLUTIONS[salt as usize / 10]);
    }
}

/// The shape of x, that of w, stride, padding and dilation.
type Strided = ([usize; 4], [usize; 4], [usize; 2], [usize; 2], [usize; 2]);
const STRIDED: [Strided; 10] = [
    ([3, 8, 9, 7], [16, 8, 3, 3], [2, 2], [1, 1], [1, 1]),
    // Rows and columns that no tap reaches: of a filter smaller than the stride, and of taps that the stride skips.
    ([2, 8, 11, 10], [8, 8, 2, 3], [3, 2], [0, 1], [1, 2]),
    ([2, 8, 12, 13], [8, 8, 3, 2], [4, 3], [2, 1], [2, 3]),
    ([1, 8, 15, 14], [8, 8, 4, 5], [6, 4], [5, 6], [4, 3]),
    ([3, 8, 10, 11], [8, 8, 3, 1], [4, 5], [0, 0], [1, 1]),
    // Patches, and images smaller than the stride.
    ([2, 8, 8, 8], [24, 8, 4, 4], [4, 4], [0, 0], [1, 1]),
    ([5, 16, 2, 9], [8, 16, 3, 1], [3, 2], [2, 0], [1, 1]),
    // Split-K, channels one by one, and more tiles than one along each axis.
    ([1, 16, 5, 5], [256, 16, 3, 3], [2, 2], [1, 1], [1, 1]),
    ([2, 3, 9, 8], [5, 3, 5, 3], [2, 3], [2, 1], [1, 2]),
    ([5, 136, 10, 9], [24, 136, 3, 3], [2, 1], [1, 1], [1, 1]),
];

fn strided_input_gradients(tolerance: f64) {
    for (salt, row) in (400..).step_by(10).zip(STRIDED) {
        let (x, w, stride, padding, dilation) = row;
        let options = Conv2dOptions { stride, padding, dilation, ..Conv2dOptions::default() };
        let weight = random(salt, &w);
        let y = Tensor::zeros(x).conv2d(&weight, None, options);
        let dy = random(salt + 1, &y.shape());
        let expected = dy.to_f64().conv2d_input_gradient(&weight.to_f64(), [x[2], x[3]], options);
        let found = dy.to(GPU).conv2d_input_gradient(&weight.to(GPU), [x[2], x[3]], options);
        let error = error(&found, &expected);
        assert!(error < tolerance, "{row:?}: {error}");
    }
}

fn matrices(tolerance: f64) {
    for (salt, [m, k, n]) in
        [[5, 8, 12], [70, 40, 72], [64, 784, 128], [3, 5, 7], [130, 600, 10]].into_iter().enumerate()
    {
        let salt = 200 + 10 * salt as u32;
        let (a, b, bias) = (random(salt, &[m, k]), random(salt + 1, &[k, n]), random(salt + 2, &[n]));
        let c = a.to_f64().matmul(&b.to_f64());
        let (dw, db) = (b.to_f64().transpose(0, 1).matmul(&b.to_f64()), b.to_f64().sum(&[0], false));
        let with_bias = a.to_f64().linear(&b.to_f64().transpose(0, 1), Some(&bias.to_f64()));
        let turned = |x: &Tensor| x.transpose(0, 1).contiguous().to(GPU).transpose(0, 1);
        let (turned_a, turned_b) = (turned(&a), turned(&b));
        let [a, b, bias] = [a, b, bias].map(|x| x.to(GPU));
        let [dw_of_both, db_of_both] =
            b.linear_parameter_gradients(&b, [true, true]).map(|gradient| gradient.expect("it was requested"));
        let found = [
            error(&dw_of_both, &dw),
            error(&db_of_both, &db),
            error(&a.matmul(&b), &c),
            error(&a.matmul(&turned_b), &c),
            error(&turned_a.matmul(&b), &c),
            error(&turned_a.matmul(&turned_b), &c),
            error(&a.linear(&turned_b.transpose(0, 1), Some(&bias)), &with_bias),
        ];
        assert!(found.iter().all(|&error| error < tolerance), "({m}, {k}) · ({k}, {n}): {found:?}");
    }
}

/// Split-K for so many results that one thread adds all splits of a result.
pub fn split_k() {
    let (a, b) = (random(1, &[260, 256]), random(2, &[256, 264]));
    let c = a.to_f64().matmul(&b.to_f64());
    assert!(error(&a.to(GPU).matmul(&b.to(GPU)), &c) < 3e-6);
}

/// 3×TF32 is nearly as accurate as f32.
pub fn full() {
    convolutions(3e-6);
    strided_input_gradients(3e-6);
    matrices(3e-6);
}

pub fn tf32() {
    set_precision(Precision::Tf32);
    convolutions(3e-3);
    strided_input_gradients(3e-3);
    matrices(3e-3);
    let (a, b) = (random(1, &[64, 64]), random(2, &[64, 64]));
    let exact = a.to_f64().matmul(&b.to_f64());
    let rounded = error(&a.to(GPU).matmul(&b.to(GPU)), &exact);
    assert!(rounded > 1e-5, "TF32 rounds: an error of {rounded} would be f32's");
}

/// bf16 has 8 bits, and results are rounded to it.
pub fn bf16() {
    set_precision(Precision::Bf16);
    convolutions(2e-2);
    strided_input_gradients(2e-2);
    matrices(2e-2);
    let (a, b) = (random(1, &[64, 64]), random(2, &[64, 64]));
    let exact = a.to_f64().matmul(&b.to_f64());
    let rounded = error(&a.to(GPU).matmul(&b.to(GPU)), &exact);
    assert!(rounded > 1e-4, "bf16 rounds: an error of {rounded} would be TF32's");
}

/// A result whose channels are whole chunks is stored as bf16, even if its operands are TF32.
pub fn results_stored_as_bf16() {
    set_precision(Precision::Bf16);
    let is_rounded = |x: &Tensor| x.to_vec().iter().all(|v| v.to_bits() << 16 == 0);
    let options = Conv2dOptions::padded(1);
    for ([c, o], whole) in [([3, 8], [false, true]), ([4, 8], [false, true]), ([16, 5], [true, false])] {
        let (x, w) = (random(1, &[2, c, 6, 6]).to(GPU), random(2, &[o, c, 3, 3]).to(GPU));
        let y = x.conv2d(&w, None, options);
        let dx = y.conv2d_input_gradient(&w, [6, 6], options);
        assert_eq!([&dx, &y].map(is_rounded), whole, "{c} channels to {o}");
    }
}

/// Gradients of weights are `f32`, for any number of rows, with and without the gradient of the bias.
pub fn weights_are_f32() {
    set_precision(Precision::Bf16);
    for (outputs, biased) in [(1, false), (1, true), (8, false), (8, true)] {
        let x = Var::constant(random(1, &[6, 16]).to(GPU));
        let w = Var::parameter("w", random(2, &[outputs, 16]).to(GPU));
        let b = Var::parameter("b", random(3, &[outputs]).to(GPU));
        let gradients = x.linear(&w, biased.then_some(&b)).square().sum().backward();
        let dw = gradients[&w].to_vec();
        assert!(dw.iter().any(|v| v.to_bits() << 16 != 0), "{outputs} outputs: {dw:?}");
    }
}

/// All operations take tensors stored as bf16.
pub fn stored_as_bf16() {
    set_precision(Precision::Bf16);
    let x = random(1, &[2, 8, 6, 6]).to(GPU);
    let y = x.conv2d(&random(2, &[16, 8, 3, 3]).to(GPU), None, Conv2dOptions::padded(1));
    let (narrow, wide) = (|| y.clone(), Tensor::from_slice(&y.to_vec(), y.shape()).to(GPU));
    assert!(y.to_vec().iter().all(|v| v.to_bits() << 16 == 0), "the result is rounded to bf16");
    let same = |what: &str, a: &Tensor, b: &Tensor, tolerance: f64| {
        let found = error(a, &b.to_f64().to(Device::Cpu));
        assert!(found <= tolerance, "{what}: {found}");
    };
    same("views", &narrow().narrow(1, 3..9).transpose(0, 2), &wide.narrow(1, 3..9).transpose(0, 2), 0.0);
    same("flatten", &narrow().flatten(1), &wide.flatten(1), 0.0);
    same("sum", &narrow().sum(&[0, 2], false), &wide.sum(&[0, 2], false), 1e-6);
    same("tanh", &narrow().unary(Unary::Tanh), &wide.unary(Unary::Tanh), 4e-3);
    same("a sum of two", &narrow().binary(Binary::Add, &narrow()), &wide.binary(Binary::Add, &wide), 4e-3);
    let factor = Tensor::full_on(GPU, [6], 1.0 / 3.0);
    same("a factor keeps its digits", &narrow().binary(Binary::Mul, &factor), &wide.binary(Binary::Mul, &factor), 1e-7);
    let (mut a, mut b) = (narrow(), wide.clone());
    a.add_assign(&wide);
    b.add_assign(&wide);
    same("in place", &a, &b, 1e-7);
    let norm = |x: &Tensor| Tensor::norm(&[x]).to_f32();
    same("the norm", &norm(&narrow()), &norm(&wide), 1e-6);
    let (mut scaled, mut expected) = (narrow(), wide.clone());
    Tensor::clip_to_norm(vec![&mut scaled, &mut expected], &Tensor64::scalar(3.0), 1.0);
    same("scaled", &scaled, &expected, 0.0);
    same("an alias is unchanged", &narrow(), &wide, 0.0);
    let mut a = narrow();
    a.add_assign(&y);
    same("in place, both narrow", &a, &b, 4e-3);
    let mut a = narrow();
    a.fill(0.1);
    assert_eq!((a.at(&[0, 0, 0, 0]), y.to_vec() == wide.to_vec()), (0.1, true), "clones are unchanged");
    // Disjoint windows, so that no sum is rounded.
    let dilated = Pool2dOptions { stride: [1, 5], dilation: [3, 1], ceil_mode: true, ..2.into() };
    for options in [2.into(), dilated] {
        let windows = shape_rules::pool2d("pool", y.shape(), options).unwrap();
        let ((a, indices), (b, wide_indices)) = (narrow().relu_max_pool2d(&windows), wide.relu_max_pool2d(&windows));
        same("max pool", &a, &b, 0.0);
        assert_eq!(indices.index().to_vec(), wide_indices.index().to_vec());
        same("its adjoint", &a.scatter2d(&indices, [6, 6]), &b.scatter2d(&indices, [6, 6]), 0.0);
        let averages = (narrow().avg_pool2d(&windows), wide.avg_pool2d(&windows));
        same("average pool", &averages.0, &averages.1, 4e-3);
        same(
            "its adjoint",
            &averages.0.avg_pool2d_adjoint(&windows, [6, 6]),
            &averages.1.avg_pool2d_adjoint(&windows, [6, 6]),
            8e-3,
        );
    }
    let [gamma, beta] = [3, 4].map(|salt| random(salt, &[16]).to(GPU));
    let then = |r| Epilogue::add_relu(r);
    let (a, statistics) = narrow().batch_norm(&gamma, &beta, 1e-5, then(&y));
    let (b, wide_statistics) = wide.batch_norm(&gamma, &beta, 1e-5, then(&wide));
    same("batch norm", &a, &b, 4e-3);
    for (a, b) in statistics.iter().zip(&wide_statistics) {
        same("statistics", a, b, 1e-6);
    }
    let [mean, _, istd] = &statistics;
    let found = narrow().batch_norm_backward(&y, mean, istd, &gamma, Some(&a), true);
    let expected = wide.batch_norm_backward(&wide, mean, istd, &gamma, Some(&b), true);
    same("dx", &found.0, &expected.0, 8e-3);
    same("dgamma", &found.1, &expected.1, 1e-3);
    same("dbeta", &found.2, &expected.2, 1e-3);
    same("dr", &found.3.expect("it was requested"), &expected.3.expect("it was requested"), 0.0);
}

/// More groups than a grid's second and third axis have blocks. The grids of the gradients and of batched products are
/// tested where they are made.
pub fn many_groups() {
    let channels = 65_537;
    let options = Conv2dOptions { groups: channels, ..Conv2dOptions::default() };
    let x = Tensor::from_fn([1, channels, 1, 2], |i| (i % 13) as f32);
    let w = Tensor::from_fn([channels, 1, 1, 1], |i| (i % 11) as f32);
    let b = Tensor::from_fn(channels, |i| (i % 7) as f32);
    let there = x.to(GPU).conv2d(&w.to(GPU), Some(&b.to(GPU)), options);
    assert_eq!(there.to_vec(), x.conv2d(&w, Some(&b), options).to_vec());
}

/// Infinities and NaN propagate.
pub fn infinities() {
    let mut x = Tensor::ones([2, 4, 5, 5]);
    x.make_mut()[30] = f32::INFINITY;
    x.make_mut()[120] = f32::NAN;
    let w = random(3, &[4, 4, 3, 3]);
    let here = x.conv2d(&w, None, Conv2dOptions::padded(1)).to_vec();
    let there = x.to(GPU).conv2d(&w.to(GPU), None, Conv2dOptions::padded(1)).to_vec();
    for (a, b) in here.iter().zip(&there) {
        assert!(a.is_nan() == b.is_nan() && a.is_infinite() == b.is_infinite(), "{a} on the CPU, {b} on the GPU");
    }
    // A NaN maximum is the result and, as in relu, has no gradient: no index.
    x.make_mut()[100] = f32::NAN;
    let windows = shape_rules::pool2d("pool", x.shape(), 2.into()).unwrap();
    let ((a, indices), (b, gpu_indices)) = (x.relu_max_pool2d(&windows), x.to(GPU).relu_max_pool2d(&windows));
    assert_eq!(a.to_vec().iter().filter(|y| y.is_nan()).count(), 1);
    for (a, b) in a.to_vec().iter().zip(&b.to_vec()) {
        assert!(a == b || a.is_nan() && b.is_nan(), "{a} on the CPU, {b} on the GPU");
    }
    let dy = Tensor::ones(a.shape());
    assert_eq!(
        dy.scatter2d(&indices, [5, 5]).to_vec(),
        dy.to(GPU).scatter2d(&gpu_indices, [5, 5]).to_vec(),
        "the gradients"
    );
}
