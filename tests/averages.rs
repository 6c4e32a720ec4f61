//! Averages of weights: against PyTorch's (`tests/reference/averages.py`), evaluated and taken back, saved and resumed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use chainrule::nn::{BufferOf, NnError};
use chainrule::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

/// A parameter and a buffer.
struct Pair<T: Float> {
    w: VarOf<T>,
    m: BufferOf<T>,
}

impl<T: Float> Module<T> for Pair<T> {
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        x * &self.w
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        visitor.item("w", Item::Parameter(&self.w));
        visitor.item("m", Item::Buffer(&self.m));
    }
}

impl<T: Float> Pair<T> {
    fn new() -> Self {
        Self { w: VarOf::parameter("w", TensorOf::zeros([2, 3])), m: BufferOf::new(TensorOf::zeros(3)) }
    }

    fn values(&self) -> Vec<f64> {
        [self.w.value().to_f64().to_vec(), self.m.get().to_f64().to_vec()].concat()
    }
}

fn agrees<T: Float>(case: &Value, tolerance: f64) {
    let net = Pair::<T>::new();
    let mut ema = Ema::new(&net, case["decay"].as_f64().expect("a number"));
    if case["warm_up"] == true {
        ema = ema.warm_up();
    }
    for (t, row) in case[T::NAME].as_array().expect("a row for each update").iter().enumerate() {
        let value =
            |p: usize| move |i: usize| T::from_f64(((7 * i + 3 * t + 5 * p) % 11) as f64 - 5.0) / T::from_f64(7.0);
        net.w.update(|w| *w = TensorOf::from_fn([2, 3], value(0)));
        net.m.set(TensorOf::from_fn(3, value(1)));
        ema.update(&net);
        let before = net.values();
        let found = {
            let _averaged = ema.averaged(&net);
            net.values()
        };
        assert_eq!(net.values(), before);
        for (found, expected) in found.iter().zip(row.as_array().expect("nine numbers")) {
            let expected = expected.as_f64().expect("a number");
            assert!((found - expected).abs() <= tolerance, "{} at {t}: {found}, not {expected}", case["name"]);
        }
    }
}

#[test]
fn averages_agree_with_pytorch() {
    let reference: Value = serde_json::from_str(include_str!("reference/averages.json")).expect("JSON");
    for case in reference["cases"].as_array().expect("cases") {
        agrees::<f64>(case, 4e-16);
        agrees::<f32>(case, 1e-7);
    }
}

/// A net with weights, running statistics and a counter.
fn net(seed: u64, features: usize) -> Sequential {
    let mut rng = Rng::seed(seed);
    Sequential::new()
        .add(Conv2d::builder(1, features, 3).build(&mut rng))
        .add(BatchNorm2d::new(features))
        .add(Relu)
        .add(Flatten)
        .add(Linear::new(features * 4, 3, &mut rng))
}

fn train(net: &Sequential, optimizer: &mut dyn Optimizer, ema: &mut Ema, steps: std::ops::Range<u32>) {
    for t in steps {
        let x = Tensor::random_normal(Key::new(1, Purpose::USER).at_step(t), [6, 1, 4, 4]);
        let loss = net.forward(&Var::constant(x)).cross_entropy(&[0, 1, 2, 0, 1, 2].into());
        optimizer.step(&loss.backward());
        ema.update(net);
    }
}

/// The hash of the averaged weights.
fn average_sha256(ema: &Ema, net: &Sequential) -> String {
    let _averaged = ema.averaged(net);
    weights_sha256(net)
}

fn save(net: &Sequential, optimizer: &dyn Optimizer, ema: Option<&Ema>, path: &Path) {
    let checkpoint = Checkpoint::capture(net, optimizer, &Progress::default());
    ema.map_or(checkpoint.clone(), |ema| checkpoint.with_average(ema)).save(path).expect("it is saved");
}

#[test]
fn averaged_weights_are_evaluated_and_taken_back_also_by_a_panic() {
    let net = net(0, 4);
    let mut adam = Adam::new(net.parameters(), 0.01);
    let mut ema = Ema::new(&net, 0.8);
    let first = weights_sha256(&net);
    assert_eq!(average_sha256(&ema, &net), first, "before an update it has the first weights");
    train(&net, &mut adam, &mut ema, 0..4);
    let last = weights_sha256(&net);
    let average = average_sha256(&ema, &net);
    assert!(average != last && average != first && ema.updates() == 4);
    assert_eq!((weights_sha256(&net), average_sha256(&ema, &net)), (last.clone(), average));
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _averaged = ema.averaged(&net);
        panic!("while evaluating");
    }));
    assert!(panic.is_err());
    assert_eq!(weights_sha256(&net), last);
}

#[test]
fn a_resumed_average_has_the_same_bits() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("state.safetensors");
    let make = || {
        let net = net(0, 4);
        let adam = Adam::new(net.parameters(), 0.01);
        let ema = Ema::new(&net, 0.9).warm_up();
        (net, adam, ema)
    };
    let (whole, mut adam, mut ema) = make();
    train(&whole, &mut adam, &mut ema, 0..3);
    save(&whole, &adam, Some(&ema), &path);
    let saved = average_sha256(&ema, &whole);
    train(&whole, &mut adam, &mut ema, 3..6);
    let expected = (weights_sha256(&whole), average_sha256(&ema, &whole));

    let (again, mut adam, mut ema) = make();
    let checkpoint = Checkpoint::load(&path).expect("it is read");
    assert!(checkpoint.has_average());
    checkpoint.restore(&again, &mut adam).expect("it fits");
    checkpoint.restore_average(&mut ema).expect("it fits");
    assert_eq!((ema.updates(), average_sha256(&ema, &again)), (3, saved.clone()));
    train(&again, &mut adam, &mut ema, 3..6);
    assert_eq!((weights_sha256(&again), average_sha256(&ema, &again)), expected);

    // Both can be loaded as weights.
    let other = net(7, 4);
    LoadOptions::new().average(true).load(&other, &path).expect("it fits");
    assert_eq!(weights_sha256(&other), saved);
    load_weights(&other, &path).expect("it fits");
    assert_ne!(weights_sha256(&other), saved);
}

#[test]
fn another_average_is_refused_and_changes_nothing() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("state.safetensors");
    let small = net(0, 4);
    let mut sgd = Sgd::new(small.parameters(), 0.1);
    let mut ema = Ema::new(&small, 0.9);
    save(&small, &sgd, None, &path);
    let place = path.display();
    let text = |result: Result<(), NnError>| result.expect_err("it does not fit").to_string();
    let none = format!("{place}: it has no average of the weights; use the weights, or train with an Ema");
    let plain = Checkpoint::load(&path).expect("it is read");
    assert!(!plain.has_average());
    assert_eq!(text(plain.restore_average(&mut ema)), none);
    assert_eq!(text(LoadOptions::new().average(true).load(&small, &path).map(drop)), none);

    train(&small, &mut sgd, &mut ema, 0..2);
    save(&small, &sgd, Some(&ema), &path);
    let checkpoint = Checkpoint::load(&path).expect("it is read");
    let large = net(0, 5);
    let mut other = Ema::new(&large, 0.99).warm_up();
    let before = average_sha256(&other, &large);
    assert_eq!(
        text(checkpoint.restore_average(&mut other)),
        format!(
            "{place}: the average of the weights does not fit\n  \
             decay: saved 0.9, this average has 0.99\n  \
             saved without warm-up, this average is with warm-up\n  \
             mismatch    0.weight: saved (4, 1, 3, 3), the net has (5, 1, 3, 3)\n  \
             mismatch    0.bias: saved (4,), the net has (5,)\n  \
             mismatch    1.weight: saved (4,), the net has (5,)\n  \
             mismatch    1.bias: saved (4,), the net has (5,)\n  \
             mismatch    4.weight: saved (3, 16), the net has (3, 20)\n  \
             mismatch    1.running_mean: saved (4,), the net has (5,)\n  \
             mismatch    1.running_var: saved (4,), the net has (5,)\n\
             make the Ema as when the file was saved"
        )
    );
    assert_eq!((average_sha256(&other, &large), other.updates()), (before, 0));
    let deeper = Sequential::<f32>::new().add(Linear::new(4, 3, &mut Rng::seed(0)));
    let found = text(checkpoint.restore_average(&mut Ema::new(&deeper, 0.9)));
    assert!(found.contains("unexpected  1.running_mean"), "{found}");
}

#[test]
fn another_net_and_a_wrong_decay_are_refused() {
    let text = |f: &mut dyn FnMut()| {
        let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
        panic.downcast_ref::<String>().cloned().unwrap_or_else(|| (*panic.downcast_ref::<&str>().expect("text")).into())
    };
    let (small, large) = (net(0, 4), net(0, 5));
    let mut ema = Ema::new(&small, 0.9);
    let other = "Ema: it is of another net\n  rule: use the net that it was made for";
    assert_eq!(text(&mut || ema.update(&large)), other);
    assert_eq!(text(&mut || drop(ema.averaged(&large))), other);
    for decay in [-0.1, 1.0, f64::NAN] {
        let expected = format!("Ema: decay is {decay}\n  rule: 0 ≤ decay < 1");
        assert_eq!(text(&mut || drop(Ema::new(&small, decay))), expected);
    }
}
