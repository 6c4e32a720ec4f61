//! The kernels that a training step spends its time in, beside what they replace.
//!
//! `cargo bench -p chainrule-benches`, or with a filter: `cargo bench -p chainrule-benches -- conv2d`

use std::hint::black_box;

use chainrule_tensor::{Conv2dOptions, Key, Purpose, Shape, Tensor, Unary, shape_rules};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn random(shape: impl Into<Shape>) -> Tensor {
    Tensor::random_normal(Key::new(0, Purpose::USER), shape)
}

/// Square products, beside one thread of matrixmultiply.
fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("matmul");
    for n in [64, 256, 1024] {
        let (a, b) = (random([n, n]), random([n, n]));
        group.throughput(Throughput::Elements(2 * (n as u64).pow(3)));
        group.bench_function(BenchmarkId::new("chainrule", n), |bench| bench.iter(|| black_box(&a).matmul(&b)));
        let (x, y, mut z) = (a.to_vec(), b.to_vec(), vec![0.0; n * n]);
        let row = n as isize;
        group.bench_function(BenchmarkId::new("matrixmultiply", n), |bench| {
            bench.iter(|| {
                // SAFETY: three matrices of n×n, row by row.
                unsafe {
                    matrixmultiply::sgemm(
                        n,
                        n,
                        n,
                        1.0,
                        x.as_ptr(),
                        row,
                        1,
                        y.as_ptr(),
                        row,
                        1,
                        0.0,
                        z.as_mut_ptr(),
                        row,
                        1,
                    );
                }
                black_box(z[0])
            });
        });
    }
    group.finish();
}

/// The convolutions of the two programs' nets at batch 64, beside im2col and a product.
fn convolutions(c: &mut Criterion) {
    for (from, to, side) in [(1, 8, 28), (8, 16, 14), (3, 6, 32), (20, 40, 16), (80, 160, 11)] {
        let (x, w, options) = (random([64, from, side, side]), random([to, from, 3, 3]), Conv2dOptions::padded(1));
        let dy = random([64, to, side, side]);
        let mut group = c.benchmark_group(format!("conv2d {from}→{to} at {side}×{side}"));
        group.throughput(Throughput::Elements((2 * 64 * to * from * 9 * side * side) as u64));
        group.bench_function("forward", |b| b.iter(|| black_box(&x).conv2d(&w, None, options)));
        group.bench_function("forward, im2col", |b| {
            let flat = w.reshape([to, from * 9]);
            b.iter(|| flat.matmul(&black_box(&x).im2col([3, 3], options)));
        });
        group.bench_function("input gradient", |b| b.iter(|| dy.conv2d_input_gradient(&w, [side, side], options)));
        group.bench_function("weight gradient", |b| b.iter(|| x.conv2d_weight_gradient(&dy, [3, 3], options)));
        group.finish();
    }
}

/// What is bound by memory: reading, writing, a few operations in between.
fn passes(c: &mut Criterion) {
    let x = random([64, 16, 28, 28]);
    let mut group = c.benchmark_group("one pass over (64, 16, 28, 28)");
    group.throughput(Throughput::Elements(x.numel() as u64));
    group.bench_function("relu", |b| b.iter(|| black_box(&x).unary(Unary::Relu)));
    group.bench_function("tanh", |b| b.iter(|| black_box(&x).unary(Unary::Tanh)));
    group.bench_function("sum to channels", |b| b.iter(|| black_box(&x).sum(&[0, 2, 3], false)));
    let windows = shape_rules::pool2d("max_pool2d", x.shape(), 2.into()).expect("2×2 windows fit");
    group.bench_function("max_pool2d", |b| b.iter(|| black_box(&x).max_pool2d(&windows, false)));
    group.bench_function("batch_norm statistics", |b| b.iter(|| black_box(&x).batch_norm_statistics()));
    group.finish();
}

criterion_group!(benches, products, convolutions, passes);
criterion_main!(benches);
