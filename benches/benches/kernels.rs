//! The kernels that a training step spends its time in, beside what they replace.
//!
//! `cargo bench -p chainrule-benches --bench kernels`, or with a filter: `… -- "conv2d 8→16"`

use std::hint::black_box;

use chainrule_tensor::{
    AdamSlot, AdamStep, Conv2dOptions, Epilogue, Key, Purpose, Shape, Tensor, TensorOf, Unary, shape_rules,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn random(shape: impl Into<Shape>) -> Tensor {
    Tensor::random_normal(Key::new(0, Purpose::USER), shape)
}

/// (M, K) · (K, N), row by row, in one thread of matrixmultiply.
fn matrixmultiply([m, k, n]: [usize; 3], a: &[f32], b: &[f32], c: &mut [f32]) {
    assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n);
    let (a_row, row) = (k as isize, n as isize);
    // SAFETY: all three are as long as their sizes say.
    unsafe {
        matrixmultiply::sgemm(m, k, n, 1.0, a.as_ptr(), a_row, 1, b.as_ptr(), row, 1, 0.0, c.as_mut_ptr(), row, 1);
    }
}

/// The definition.
fn naive_product([m, k, n]: [usize; 3], a: &[f32], b: &[f32], c: &mut [f32]) {
    for i in 0..m {
        for j in 0..n {
            c[i * n + j] = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
        }
    }
}

/// Products of matrices, square ones and those of two convolutions' im2col matrices.
fn products(c: &mut Criterion) {
    let square = |n| [n, n, n];
    for sizes in [square(64), square(256), square(512), square(1024), square(2048), [16, 72, 50176], [64, 576, 32768]] {
        let [m, k, n] = sizes;
        let mut group = c.benchmark_group("product");
        group.throughput(Throughput::Elements(2 * (m * k * n) as u64)).sample_size(20);
        let name = |who| BenchmarkId::new(who, format!("{m}x{k}x{n}"));
        let (a, b) = (random([m, k]), random([k, n]));
        group.bench_function(name("chainrule"), |bench| bench.iter(|| black_box(&a).matmul(&b)));
        let (a, b, mut y) = (a.to_vec(), b.to_vec(), vec![0.0; m * n]);
        group.bench_function(name("matrixmultiply"), |bench| {
            bench.iter(|| matrixmultiply(sizes, black_box(&a), &b, &mut y));
        });
        if n <= 256 {
            group.bench_function(name("naive"), |bench| bench.iter(|| naive_product(sizes, black_box(&a), &b, &mut y)));
        }
        group.finish();
    }
}

/// The convolutions of the nets of `chainrule throughput`, beside im2col and a product.
fn convolutions(c: &mut Criterion) {
    let shapes = [
        // N, C, O, side, kernel, stride, padding
        [64, 1, 8, 28, 3, 1, 1],
        [64, 8, 16, 14, 3, 1, 1],
        [64, 3, 6, 32, 3, 1, 1],
        [64, 20, 40, 16, 3, 1, 2],
        [64, 80, 160, 11, 3, 1, 2],
        [100, 25, 24, 32, 3, 1, 1],
        [32, 64, 64, 32, 3, 1, 1],
        [32, 512, 512, 4, 3, 1, 1],
        [32, 64, 128, 32, 3, 2, 1],
        [32, 64, 128, 32, 1, 2, 0],
        [32, 128, 256, 16, 3, 2, 1],
        [32, 256, 512, 8, 3, 2, 1],
    ];
    for [images, from, to, side, kernel, stride, padding] in shapes {
        let options = Conv2dOptions { stride: [stride; 2], ..Conv2dOptions::padded(padding) };
        let (x, w) = (random([images, from, side, side]), random([to, from, kernel, kernel]));
        let y = x.conv2d(&w, None, options);
        let dy = random(y.shape());
        let mut group =
            c.benchmark_group(format!("conv2d {from}→{to} {kernel}x{kernel}, {side}x{side}, stride {stride}"));
        group.throughput(Throughput::Elements((2 * y.numel() * from * kernel * kernel) as u64)).sample_size(20);
        group.bench_function("forward", |b| b.iter(|| black_box(&x).conv2d(&w, None, options)));
        group.bench_function("forward, im2col", |b| {
            let flat = w.reshape([to, from * kernel * kernel]);
            b.iter(|| flat.matmul(&black_box(&x).im2col([kernel; 2], options)));
        });
        group.bench_function("input gradient", |b| b.iter(|| dy.conv2d_input_gradient(&w, [side; 2], options)));
        group.bench_function("weight gradient", |b| b.iter(|| x.conv2d_weight_gradient(&dy, [kernel; 2], options)));
        group.finish();
    }
}

/// What is bound by memory: reading, writing, a few operations in between.
fn passes(c: &mut Criterion) {
    let x = random([64, 16, 28, 28]);
    let dy = random(x.shape());
    let mut group = c.benchmark_group("one pass over (64, 16, 28, 28)");
    group.throughput(Throughput::Bytes(4 * x.numel() as u64)).sample_size(50);
    group.bench_function("relu", |b| b.iter(|| black_box(&x).unary(Unary::Relu)));
    group.bench_function("relu, naive", |b| {
        let numbers = x.to_vec();
        b.iter(|| black_box(&numbers).iter().map(|&x| if x > 0.0 { x } else { 0.0 }).collect::<Vec<f32>>());
    });
    group.bench_function("tanh", |b| b.iter(|| black_box(&x).unary(Unary::Tanh)));
    group.bench_function("tanh, libm", |b| {
        let numbers = x.to_vec();
        b.iter(|| black_box(&numbers).iter().map(|x| x.tanh()).collect::<Vec<f32>>());
    });
    group.bench_function("sum to channels", |b| b.iter(|| black_box(&x).sum(&[0, 2, 3], false)));

    let windows = shape_rules::pool2d("max_pool2d", x.shape(), 2.into()).expect("2×2 windows fit");
    let (pooled, places) = x.max_pool2d(&windows);
    group.bench_function("max_pool2d", |b| b.iter(|| black_box(&x).max_pool2d(&windows)));
    group.bench_function("max_pool2d backward", |b| b.iter(|| black_box(&pooled).scatter2d(&places, [28, 28])));

    let (gamma, beta) = (random(16), random(16));
    let (y, [mean, _, istd]) = x.batch_norm(&gamma, &beta, 1e-5, Epilogue::RELU);
    group.bench_function("batch_norm_relu", |b| {
        b.iter(|| black_box(&x).batch_norm(&gamma, &beta, 1e-5, Epilogue::RELU));
    });
    group.bench_function("batch_norm_relu backward", |b| {
        b.iter(|| black_box(&x).batch_norm_backward(&dy, &mean, &istd, &gamma, Some(&y), false));
    });

    let labels = TensorOf::from_fn([64, 28, 28], |i| (i % 16) as i32);
    let [losses, max, ln] = x.cross_entropy(&labels);
    group.bench_function("log_softmax", |b| b.iter(|| black_box(&x).log_softmax(1)));
    group.bench_function("cross_entropy", |b| b.iter(|| black_box(&x).cross_entropy(&labels)));
    group.bench_function("cross_entropy backward", |b| {
        b.iter(|| black_box(&x).cross_entropy_backward(&losses, &labels, &max, &ln));
    });
    group.finish();
}

/// One step of Adam, beside the definition.
fn optimizers(c: &mut Criterion) {
    let len = 1 << 20;
    let mut group = c.benchmark_group("adam, a million parameters");
    group.throughput(Throughput::Elements(len as u64)).sample_size(50);
    let gradient = random(len);
    let [mut parameter, mut m, mut v] = [random(len), Tensor::zeros(len), Tensor::zeros(len)];
    let step = AdamStep { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false, step: 1 };
    let mut non_finite = Tensor::zeros(());
    group.bench_function("chainrule", |b| {
        b.iter(|| {
            let slot = AdamSlot { parameter: &mut parameter, gradient: &gradient, mean: &mut m, square: &mut v, step };
            TensorOf::adam_step(vec![slot], &mut non_finite);
        });
    });
    group.bench_function("naive", |b| {
        let gradient = gradient.to_vec();
        let [mut parameter, mut m, mut v] = [vec![0f32; len], vec![0f32; len], vec![0f32; len]];
        b.iter(|| {
            for (((p, m), v), g) in parameter.iter_mut().zip(&mut m).zip(&mut v).zip(black_box(&gradient)) {
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.999 * *v + 0.001 * g * g;
                *p -= 1e-3 * (*m / 0.1) / ((*v / 0.001).sqrt() + 1e-8);
            }
            black_box(parameter[0])
        });
    });
    group.finish();
}

criterion_group!(benches, products, convolutions, passes, optimizers);
criterion_main!(benches);
