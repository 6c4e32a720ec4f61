//! Batch normalization with all partitions among threads, compared with the CPU in `f64`.

use chainrule_tensor::cuda::{Precision, set_precision, stats};
use chainrule_tensor::{Conv2dOptions, Device, Epilogue, Tensor, Tensor64, Unary};

use crate::GPU;
use crate::products::{error, random};

/// N, C, H, W: channels one by one and in packs, fewer and more than the width of a block, one pixel and many.
const SHAPES: [[usize; 4]; 8] = [
    [3, 1, 5, 4],
    [3, 6, 9, 7],
    [2, 20, 5, 5],
    [37, 132, 1, 1],
    [5, 33, 3, 3],
    [2, 264, 6, 5],
    [1, 8, 40, 41],
    [300, 4, 4, 4],
];

/// The same in channels-last format, at an address that is not a multiple of 16.
fn unaligned(x: &Tensor) -> Tensor {
    let pixels = x.permute(&[0, 2, 3, 1]).contiguous();
    let flat = pixels.reshape(x.numel());
    let all = Tensor::concat(&[&flat.narrow(0, 0..1), &flat], 0);
    all.narrow(0, 1..x.numel() + 1).reshape(pixels.shape()).permute(&[0, 3, 1, 2])
}

pub fn formats() {
    for (salt, shape) in SHAPES.into_iter().enumerate() {
        let salt = 10 * salt as u32;
        let [x, r, dy] = [0, 1, 2].map(|i| random(salt + i, &shape));
        let [gamma, beta] = [3, 4].map(|i| random(salt + i, &[shape[1]]));
        let wide = [&x, &r, &dy, &gamma, &beta].map(Tensor::to_f64);
        let [x64, r64, dy64, gamma64, beta64] = wide;
        let (y, [mean, variance, istd]) = x64.batch_norm(&gamma64, &beta64, 1e-3, Epilogue::add_relu(&r64));
        let (dx, dgamma, dbeta, dr) = x64.batch_norm_backward(&dy64, &mean, &istd, &gamma64, Some(&y), true);
        let [x, r, dy, gamma, beta] = [x, r, dy, gamma, beta].map(|x| x.to(GPU));
        for x in [x.clone(), x.channels_last(), unaligned(&x)] {
            let (found, statistics) = x.batch_norm(&gamma, &beta, 1e-3, Epilogue::add_relu(&r));
            let [found_mean, _, found_istd] = &statistics;
            let gradients = x.batch_norm_backward(&dy, found_mean, found_istd, &gamma, Some(&found), true);
            let errors = [
                error(&found, &y),
                error(&statistics[0], &mean),
                error(&statistics[1], &variance),
                error(&gradients.0, &dx),
                error(&gradients.1, &dgamma),
                error(&gradients.2, &dbeta),
                error(&gradients.3.expect("it was requested"), dr.as_ref().expect("it was requested")),
            ];
            assert!(errors.iter().all(|&error| error < 2e-5), "{shape:?}: {errors:?}");
        }
    }
}

/// Statistics of large numbers that are nearly equal: the rounded means of stretches and of all are corrected.
pub fn large_nearly_equal() {
    for center in [1e3, 1e5, 1e6] {
        for (salt, shape) in SHAPES.into_iter().enumerate().filter(|(_, shape)| shape[0] * shape[2] * shape[3] > 30) {
            let x = random(salt as u32, &shape).unary(Unary::Add(center));
            let (mean, variance) = x.to_f64().batch_norm_statistics();
            for x in [x.to(GPU), x.to(GPU).channels_last()] {
                let (found_mean, found_variance) = x.batch_norm_statistics();
                let worst = |found: &Tensor, exact: &Tensor64| {
                    let pairs = found.to_f64().to_vec().into_iter().zip(exact.to_vec());
                    pairs.map(|(found, exact)| (found / exact - 1.0).abs()).fold(0.0, f64::max)
                };
                // The means of stretches are rounded to f32, and their distances from the mean of all enter the variance:
                // some tenths of the deviation of 1, with an error of a quarter of center · ε on average, as by PyTorch.
                let rounding = center * f64::from(f32::EPSILON);
                let rounding = rounding / 20.0 + rounding.powi(2);
                let (of_mean, of_variance) = (worst(&found_mean, &mean), worst(&found_variance, &variance));
                assert!(of_mean < 1.8e-7, "the mean of {shape:?} at {center}: {of_mean:.1e}");
                assert!(of_variance < 4e-6 + rounding, "the variance of {shape:?} at {center}: {of_variance:.1e}");
            }
        }
    }
}

fn launches() -> u64 {
    stats(0).expect("it is open").launches
}

/// N, C, H = W, O, stride: channels of x and y in whole chunks and not; several tiles in both directions.
const STATS: [[usize; 5]; 7] = [
    [3, 8, 9, 16, 1],
    [5, 8, 9, 16, 1],
    [21, 16, 8, 72, 2],
    [2, 8, 4, 264, 1],
    [1, 8, 2, 8, 1],
    [2, 3, 9, 5, 1],
    [2, 3, 9, 16, 1],
];

/// The channel statistics from a convolution's epilogue equal those of a pass over its result, and save that pass.
pub fn channel_stats() {
    for (precision, mean) in
        [(Precision::Fp32, 0.0), (Precision::Fp32, 1000.0), (Precision::Tf32, 0.0), (Precision::Bf16, 0.5)]
    {
        set_precision(precision);
        for [n, c, hw, o, stride] in STATS {
            let options = Conv2dOptions { stride: [stride; 2], ..Conv2dOptions::padded(1) };
            let [x, w, b, gamma] = [
                random(1, &[n, c, hw, hw]),
                random(2, &[o, c, 3, 3]),
                random(3, &[o]).unary(Unary::Add(mean)),
                random(4, &[o]),
            ]
            .map(|x| x.to(GPU));
            let (y, plain) =
                (x.conv2d_with(&w, Some(&b), options, Epilogue::CHANNEL_STATS), x.conv2d(&w, Some(&b), options));
            assert_eq!(y.to_vec(), plain.to_vec());
            let (start, then) = (launches(), Epilogue::RELU);
            let (a, with) = y.batch_norm(&gamma, &gamma, 1e-5, then);
            let middle = launches();
            let (b, without) = plain.batch_norm(&gamma, &gamma, 1e-5, then);
            assert_eq!((middle - start, launches() - middle), (2, 3));
            let z = y.to(Device::Cpu).to_f64();
            let [mean, variance] = [z.mean(&[0, 2, 3], false), z.var(&[0, 2, 3], 0, false)];
            for [found_mean, found_variance, _] in [with, without] {
                assert!(error(&found_mean, &mean) < 1e-6);
                assert!(error(&found_variance, &variance) < 1e-5);
            }
            let scale = a.to_vec().into_iter().fold(0.0, f32::max);
            let off = a.to_vec().iter().zip(b.to_vec()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let rounding = if precision == Precision::Bf16 { 8e-3 } else { 1e-4 };
            assert!(off <= rounding * scale, "{off} of {scale}");
        }
    }
}

/// A split-K convolution attaches no channel statistics, since its sums are complete only later.
pub fn split_k() {
    let [x, w] = [random(1, &[2, 64, 4, 4]), random(2, &[72, 64, 3, 3])];
    let [gamma, beta] = [3, 4].map(|salt| random(salt, &[72]));
    let options = Conv2dOptions::padded(1);
    let (expected, _) =
        x.to_f64().conv2d(&w.to_f64(), None, options).batch_norm(&gamma.to_f64(), &beta.to_f64(), 1e-5, Epilogue::NONE);
    let [x, w, gamma, beta] = [x, w, gamma, beta].map(|x| x.to(GPU));
    let y = x.conv2d_with(&w, None, options, Epilogue::CHANNEL_STATS);
    let start = launches();
    let (y, _) = y.batch_norm(&gamma, &beta, 1e-5, Epilogue::NONE);
    assert_eq!(launches() - start, 3);
    assert!(error(&y, &expected) < 1e-5);
}

/// Unaligned tensors are not read in chunks of 16 bytes.
pub fn unaligned_bf16() {
    set_precision(Precision::Bf16);
    let (x, w) = (random(1, &[3, 8, 5, 5]).to(GPU), random(2, &[8, 8, 3, 3]).to(GPU));
    let y = x.conv2d(&w, None, Conv2dOptions::padded(1)).permute(&[0, 2, 3, 1]);
    let part = |from: usize| {
        let pixels = y.reshape(y.numel()).narrow(0, from..from + 2 * 25 * 8);
        pixels.reshape([2, 5, 5, 8]).permute(&[0, 3, 1, 2])
    };
    let row = random(3, &[8]).to(GPU);
    for from in [0, 1, 4, 8] {
        let x = part(from);
        let expected = x.to(Device::Cpu).to_f64();
        let (found, _) = x.batch_norm(&row, &row, 1e-5, Epilogue::add_relu(&part(from + 1)));
        let residual = part(from + 1).to(Device::Cpu).to_f64();
        let row = row.to(Device::Cpu).to_f64();
        let (expected, _) = expected.batch_norm(&row, &row, 1e-5, Epilogue::add_relu(&residual));
        assert!(error(&found, &expected) < 8e-3);
        let found = x.conv2d(&w, None, Conv2dOptions::padded(1));
        let expected = x.to(Device::Cpu).to_f64().conv2d(&w.to(Device::Cpu).to_f64(), None, Conv2dOptions::padded(1));
        assert!(error(&found, &expected) < 2e-2);
    }
}

/// The gradients for an empty batch are zeros, as on the CPU.
pub fn empty_batch() {
    let x = Tensor::zeros([0, 8, 4, 4]).to(GPU);
    let row = Tensor::ones(8).to(GPU);
    let (dx, dgamma, dbeta, _) = x.batch_norm_backward(&x, &row, &row, &row, None, false);
    assert_eq!((dx.numel(), dgamma.to_vec(), dbeta.to_vec()), (0, vec![0.0; 8], vec![0.0; 8]));
}

/// Channel statistics are valid for one layout until it is written to: those of views and of modified tensors are recomputed.
pub fn stale_channel_stats() {
    let (x, w) = (random(1, &[4, 8, 6, 6]).to(GPU), random(2, &[8, 8, 3, 3]).to(GPU));
    let row = Tensor::ones(8).to(GPU);
    let convolved = |then| x.conv2d_with(&w, None, Conv2dOptions::padded(1), then);
    let check = |what: &str, y: &Tensor, expected: u64| {
        let start = launches();
        let (found, _) = y.batch_norm(&row, &row, 1e-5, Epilogue::NONE);
        assert_eq!(launches() - start, expected, "{what}");
        let row = row.to(Device::Cpu).to_f64();
        let (expected, _) = y.to(Device::Cpu).to_f64().batch_norm(&row, &row, 1e-5, Epilogue::NONE);
        assert!(error(&found, &expected) < 1e-5, "{what}");
    };
    let y = convolved(Epilogue::CHANNEL_STATS);
    check("itself", &y, 2);
    check("a clone", &y.clone(), 2);
    check("some images", &y.narrow(0, 1..4), 3);
    let mut written = y.clone();
    written.add_assign(&y);
    check("after a write to a shared tensor", &written, 3);
    let mut written = convolved(Epilogue::CHANNEL_STATS);
    assert!(written.is_unshared());
    written.fill(0.5);
    written.assign(0, 0..1, &y.narrow(0, 0..1));
    check("after a write in place", &written, 3);
    check("after relu", &convolved(Epilogue { relu: true, ..Epilogue::CHANNEL_STATS }), 3);
}
