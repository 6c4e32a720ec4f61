//! Training steps of a net of three neurons: two linear ones and a sigmoid, batch 1, half the squared error, plain SGD.
//! What it takes is the overhead of ops, of the graph and of the walk back.

use std::hint::black_box;

use chainrule::prelude::*;
use criterion::{Criterion, criterion_group, criterion_main};

fn tiny_step(c: &mut Criterion) {
    let mut rng = Rng::seed(0);
    let (hidden, out) = (Linear::<f32>::new(2, 2, &mut rng), Linear::new(2, 1, &mut rng));
    let parameters = [hidden.parameters(), out.parameters()].concat();
    let mut sgd = Sgd::new(parameters, 0.1);
    let (x, y) = (Var::constant([[0.5, -0.3]]), Var::constant([[1.0]]));
    c.bench_function("two linear neurons and a sigmoid, one step", |b| {
        b.iter(|| {
            let error = out.forward(&hidden.forward(black_box(&x))).sigmoid() - &y;
            let loss = 0.5 * error.square().sum();
            sgd.step(&loss.backward());
        });
    });
}

criterion_group!(benches, tiny_step);
criterion_main!(benches);
