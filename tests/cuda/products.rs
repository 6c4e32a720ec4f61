//! Products and convolutions on tensor cores and off them, beside the processor's in `f64`.

use chainrule_tensor::cuda::{Precision, set_precision};
use chainrule_tensor::{Conv2dOptions, Key, Purpose, Tensor, Tensor64};

use crate::GPU;

fn random(salt: u32, shape: &[usize]) -> Tensor {
    Tensor::random_normal(Key::new(7, Purpose::USER).at_step(salt), shape)
}

/// The largest difference, as a share of the largest element.
#[track_caller]
fn error(found: &Tensor, expected: &Tensor64) -> f64 {
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
const CONVOLUTIONS: [[usize; 9]; 9] = [
    [3, 8, 9, 7, 12, 3, 1, 1, 1],
    [2, 4, 12, 12, 8, 3, 2, 1, 1],
    [2, 16, 6, 6, 72, 1, 2, 0, 1],
    [1, 12, 11, 10, 4, 5, 1, 2, 2],
    [130, 20, 1, 1, 68, 1, 1, 0, 1],
    [40, 8, 8, 8, 16, 3, 1, 1, 1],
    // Channels that are no multiple of four.
    [3, 3, 8, 8, 5, 3, 1, 1, 1],
    [5, 1, 9, 9, 6, 5, 2, 2, 1],
    [30, 3, 16, 16, 8, 3, 1, 1, 1],
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
        let [x, weight, b, dy] = [x, weight, b, dy].map(|x| x.to(GPU));
        let found = [
            error(&x.conv2d(&weight, Some(&b), options), &y),
            error(&dy.channels_last().conv2d_input_gradient(&weight, [h, w], options), &dx),
            error(&x.conv2d_weight_gradient(&dy, [kernel; 2], options), &dw),
        ];
        assert!(found.iter().all(|&error| error < tolerance), "{:?}: {found:?}", CONVOLUTIONS[salt as usize / 10]);
    }
}

fn matrices(tolerance: f64) {
    for (salt, [m, k, n]) in
        [[5, 8, 12], [70, 40, 72], [64, 784, 128], [3, 5, 7], [130, 600, 10]].into_iter().enumerate()
    {
        let salt = 200 + 10 * salt as u32;
        let (a, b, bias) = (random(salt, &[m, k]), random(salt + 1, &[k, n]), random(salt + 2, &[n]));
        let c = a.to_f64().matmul(&b.to_f64());
        let with_bias = a.to_f64().linear(&b.to_f64().transpose(0, 1), Some(&bias.to_f64()));
        let turned = |x: &Tensor| x.transpose(0, 1).contiguous().to(GPU).transpose(0, 1);
        let (turned_a, turned_b) = (turned(&a), turned(&b));
        let [a, b, bias] = [a, b, bias].map(|x| x.to(GPU));
        let found = [
            error(&a.matmul(&b), &c),
            error(&a.matmul(&turned_b), &c),
            error(&turned_a.matmul(&b), &c),
            error(&turned_a.matmul(&turned_b), &c),
            error(&a.linear(&turned_b.transpose(0, 1), Some(&bias)), &with_bias),
        ];
        assert!(found.iter().all(|&error| error < tolerance), "({m}, {k}) · ({k}, {n}): {found:?}");
    }
}

/// 3×TF32 is nearly as exact as f32.
pub fn full() {
    convolutions(3e-6);
    matrices(3e-6);
}

pub fn tf32() {
    set_precision(Precision::Tf32);
    convolutions(3e-3);
    matrices(3e-3);
    let (a, b) = (random(1, &[64, 64]), random(2, &[64, 64]));
    let exact = a.to_f64().matmul(&b.to_f64());
    let rounded = error(&a.to(GPU).matmul(&b.to(GPU)), &exact);
    assert!(rounded > 1e-5, "TF32 rounds: an error of {rounded} would be f32's");
}

/// What is outside of f32 stays so.
pub fn infinities() {
    let mut x = Tensor::ones([2, 4, 5, 5]);
    x.make_mut()[30] = f32::INFINITY;
    x.make_mut()[120] = f32::NAN;
    let w = random(3, &[4, 4, 3, 3]);
    let here = x.conv2d(&w, None, Conv2dOptions::padded(1)).to_vec();
    let there = x.to(GPU).conv2d(&w.to(GPU), None, Conv2dOptions::padded(1)).to_vec();
    for (a, b) in here.iter().zip(&there) {
        assert!(a.is_nan() == b.is_nan() && a.is_infinite() == b.is_infinite(), "{a} on the processor, {b} on the GPU");
    }
}
