//! Explaining one element of the first convolution's gradient in the MNIST CNN, for one image.

use chainrule::prelude::*;
use chainrule_explain::{Extent, explain};
use criterion::{Criterion, criterion_group, criterion_main};

fn explain_an_element(c: &mut Criterion) {
    let mut rng = Rng::seed(0);
    let conv = |from, to, rng: &mut Rng| Conv2d::<f32>::builder(from, to, 3).padding(1).build(rng);
    let (conv1, conv2) = (conv(1, 8, &mut rng), conv(8, 16, &mut rng));
    let (fc1, fc2) = (Linear::new(16 * 7 * 7, 128, &mut rng), Linear::new(128, 10, &mut rng));
    let x = Var::constant(Tensor::random_normal(Key::new(0, Purpose::USER), [1, 1, 28, 28]));
    let y = conv2.forward(&conv1.forward(&x).relu().max_pool2d(2)).relu().max_pool2d(2);
    let loss = fc2.forward(&fc1.forward(&y.flatten()).relu()).cross_entropy(&[7].into());
    c.bench_function("explain the graph", |b| b.iter(|| explain(&loss)));
    let explanation = explain(&loss);
    let depth3 = Extent::default();
    c.bench_function("explain an element of conv1 to depth 3", |b| {
        b.iter(|| explanation.element(&conv1.weight, &[0, 0, 1, 1], depth3).expect("it has a gradient"));
    });
}

criterion_group!(benches, explain_an_element);
criterion_main!(benches);
