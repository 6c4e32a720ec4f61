//! Nets that are exported and imported again.

use std::collections::BTreeMap;

use chainrule_autograd::{Var, no_grad};
use chainrule_nn::nets::{Small, SmallOptions};
use chainrule_nn::{Adam, Item, Module, Optimizer, Visitor};
use chainrule_onnx::{OnnxModel, export};
use chainrule_tensor::{Key, Purpose, Rng, Shape, Tensor};

use crate::nets;

/// All parameters and buffers by path.
fn state(net: &dyn Module<f32>) -> BTreeMap<String, Vec<f32>> {
    let mut state = BTreeMap::new();
    net.visit(&mut Visitor::new(&mut |path, item| {
        let value = match item {
            Item::Parameter(var) => var.value().to_vec(),
            Item::Buffer(buffer) => buffer.get().to_vec(),
            _ => return,
        };
        state.insert(path.to_owned(), value);
    }));
    state
}

#[test]
fn an_imported_net_has_the_same_bits_parameters_and_buffers() {
    for (name, net, [c, h, w]) in nets::all() {
        let file = export(&*net, [1, c, h, w]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = OnnxModel::from_bytes(&file.to_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        net.eval();
        for batch in [1, 5] {
            let x: Var = Tensor::random_normal(Key::new(batch as u64, Purpose::USER), [batch, c, h, w]).into();
            let (expected, found) = no_grad(|| (net.forward(&x), again.forward(&x)));
            assert_eq!(expected.value().to_vec(), found.value().to_vec(), "{name} at batch {batch}");
            let input = Shape::from([batch, c, h, w]);
            assert_eq!(again.output_shape(input).expect("it fits"), expected.shape(), "{name}");
        }
        let (expected, found) = (state(&*net), state(&again));
        for (path, values) in &expected {
            // A normalization without parameters of its own has no path in the graph.
            let path = if name == "up" && path.starts_with("3.") { &path[2..] } else { path };
            assert_eq!(found.get(path), Some(values), "{name}: {path}");
        }
        assert_eq!(found.len(), expected.len(), "{name}");
    }
}

#[test]
fn an_exported_net_is_in_the_mode_that_it_was_in() {
    let net: Small =
        Small::new([1, 8, 8], 3, SmallOptions { dropout: 0.5, ..SmallOptions::default() }, &mut Rng::seed(0));
    let x: Var = Tensor::ones([4, 1, 8, 8]).into();
    net.train();
    export(&net, [1, 1, 8, 8]).expect("all operations have counterparts");
    // Dropout draws in training.
    assert_ne!(net.forward(&x).value().to_vec(), net.forward(&x).value().to_vec());
}

#[test]
fn an_imported_net_can_be_trained() {
    let (_, net, [c, h, w]) = nets::all().remove(0);
    let file = export(&*net, [1, c, h, w]).expect("all operations have counterparts");
    let net = OnnxModel::from_bytes(&file.to_bytes()).expect("it was just written");
    let mut optimizer = Adam::new(net.parameters(), 1e-3);
    let x: Var = Tensor::random_normal(Key::new(0, Purpose::USER), [8, c, h, w]).into();
    let labels = [0, 1, 2, 3, 4, 5, 6, 7].into();
    let mut losses = Vec::new();
    for _ in 0..5 {
        let loss = net.forward(&x).cross_entropy(&labels);
        losses.push(loss.item());
        optimizer.step(&loss.backward());
    }
    assert!(losses[4] < losses[0], "{losses:?}");
    assert_eq!(net.parameters().len(), 8);
}
