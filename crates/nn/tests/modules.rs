//! Modules: paths, order, sharing, freezing, modes, containers, summaries.

use std::collections::BTreeMap;
use std::sync::Arc;

use chainrule_autograd::{Var, VarOf};
use chainrule_nn::{
    Activation, Add, BatchNorm2d, Conv2d, ConvTranspose2d, Dropout, Flatten, Item, Linear, MaxPool2d, Module,
    Sequential, Visitor, chain, children, unfused,
};
use chainrule_tensor::{Float, Rng, Tensor, TensorOf};

/// A module that is generic in its element type, with a field of each supported kind.
struct Net<T: Float> {
    conv: Conv2d<T>,
    norm: Option<BatchNorm2d<T>>,
    activation: Activation,
    blocks: Vec<Sequential<T>>,
    heads: [Linear<T>; 2],
    last: Box<dyn Module<T>>,
}

impl<T: Float> Module<T> for Net<T> {
    children!(T: conv, norm, activation, blocks, heads, last);

    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        let x = self.activation.forward(&self.norm.forward(&self.conv.forward(x)));
        self.last.forward(&self.heads.forward(&self.blocks.forward(&x)))
    }
}

fn net<T: Float>(norm: bool) -> Net<T> {
    let rng = &mut Rng::seed(5);
    Net {
        conv: Conv2d::builder(1, 2, 3).bias(!norm).build(rng),
        norm: norm.then(|| BatchNorm2d::new(2)),
        activation: Activation::Relu,
        blocks: vec![Sequential::new().add(Flatten), Sequential::new().add(Dropout::new(0.5, rng))],
        heads: [Linear::new(8, 4, rng), Linear::new(4, 4, rng)],
        last: Box::new(Linear::without_bias(4, 3, rng)),
    }
}

fn paths<T: Float>(module: &dyn Module<T>) -> Vec<String> {
    module.named_parameters().into_iter().map(|(path, _)| path).collect()
}

fn modes<T: Float>(module: &dyn Module<T>) -> Vec<bool> {
    let mut modes = Vec::new();
    module.visit(&mut Visitor::new(&mut |_, item| {
        if let Item::Mode(mode) = item {
            modes.push(mode.is_training());
        }
    }));
    modes
}

#[test]
fn paths_follow_the_fields() {
    let expected = [
        "conv.weight",
        "norm.weight",
        "norm.bias",
        "heads.0.weight",
        "heads.0.bias",
        "heads.1.weight",
        "heads.1.bias",
        "last.weight",
    ];
    assert_eq!(paths(&net::<f64>(true)), expected);
    assert_eq!(paths(&net::<f32>(false))[..2], ["conv.weight", "conv.bias"]);
    assert_eq!(paths::<f32>(&Linear::new(1, 1, &mut Rng::seed(0))), ["weight", "bias"]);
}

#[test]
fn parameters_take_their_paths_as_names() {
    let net = net::<f32>(true);
    assert_eq!(net.conv.weight.name(), "weight");
    let _ = net.parameters();
    assert_eq!(net.conv.weight.name(), "conv.weight");
}

#[test]
fn state_has_the_paths_of_pytorch() {
    let mut state = Vec::new();
    net::<f32>(true).visit(&mut Visitor::new(&mut |path, item| {
        if matches!(item, Item::Buffer(_) | Item::Counter(_)) {
            state.push(path.to_owned());
        }
    }));
    assert_eq!(state, ["norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "blocks.1.0.draws"]);
}

#[test]
fn modes_apply_to_nested_modules() {
    let net = net::<f32>(true);
    assert_eq!(modes(&net), [true, true]);
    net.eval();
    assert_eq!(modes(&net), [false, false]);
    net.train();
    assert_eq!(modes(&net), [true, true]);
}

#[test]
fn f32_and_f64_compute_alike_from_one_seed() {
    let (narrow, wide) = (net::<f32>(false), net::<f64>(false));
    narrow.eval();
    wide.eval();
    let x = TensorOf::<f64>::from_fn([2, 1, 4, 4], |i| (i % 7) as f64 / 7.0);
    let (a, b) = (narrow.forward(&VarOf::constant(x.to_f32())), wide.forward(&VarOf::constant(x)));
    assert_eq!(b.shape(), [2, 3]);
    for (a, b) in a.value().to_vec().into_iter().zip(b.value().to_vec()) {
        assert!((f64::from(a) - b).abs() < 1e-6, "{a} and {b}");
    }
}

#[test]
fn a_shared_layer_is_counted_once_and_gets_the_sum_of_its_gradients() {
    let shared: Arc<Linear<f64>> = Arc::new(Linear::new(3, 3, &mut Rng::seed(2)));
    let net = Sequential::new().add(shared.clone()).add(Activation::Tanh).add(shared.clone());
    assert_eq!(paths(&net), ["0.weight", "0.bias"]);
    assert_eq!(net.parameter_count(), 12);
    assert!(net.summary().ends_with("\n12 parameters"), "{}", net.summary());
    let x = VarOf::constant([[0.5, -1.0, 2.0]]);
    let both = net.forward(&x).sum().backward();
    // The same network with two separate layers of equal weights.
    let (first, second): (Linear<f64>, Linear<f64>) =
        (Linear::new(3, 3, &mut Rng::seed(2)), Linear::new(3, 3, &mut Rng::seed(2)));
    let apart = second.forward(&first.forward(&x).tanh()).sum().backward();
    for (i, g) in both[&shared.weight].to_vec().into_iter().enumerate() {
        let sum = apart[&first.weight].to_vec()[i] + apart[&second.weight].to_vec()[i];
        assert!((g - sum).abs() < 1e-14, "{g} and {sum}");
    }
}

#[test]
fn frozen_parameters_get_no_gradient() {
    let net = net::<f32>(true);
    net.eval();
    net.heads.set_frozen(true);
    let x = Var::constant(Tensor::ones([2, 1, 4, 4]));
    let gradients = net.forward(&x).sum().backward();
    let with: Vec<String> = net
        .named_parameters()
        .into_iter()
        .filter(|(_, parameter)| gradients.get(parameter).is_some())
        .map(|(path, _)| path)
        .collect();
    assert_eq!(with, ["conv.weight", "norm.weight", "norm.bias", "last.weight"]);
    net.set_frozen(false);
    assert!(net.forward(&x).sum().backward().get(&net.heads[0].weight).is_some());
}

#[test]
fn a_sequence_is_built_from_a_list_and_indexed() {
    let rng = &mut Rng::seed(3);
    let net = Sequential::<f32>::from(vec![
        Box::new(Linear::new(2, 3, rng)) as Box<dyn Module>,
        Box::new(Activation::Relu),
        Box::new(Linear::new(3, 1, rng)),
    ]);
    assert_eq!(paths(&net), ["0.weight", "0.bias", "2.weight", "2.bias"]);
    assert_eq!(net.layers().len(), 3);
    let x = Var::constant([[1.0, -2.0]]);
    let by_hand = net[2].forward(&net[1].forward(&net[0].forward(&x)));
    assert_eq!(by_hand.value(), net.forward(&x).value());
    assert_eq!(Sequential::new().forward(&x).value(), x.value());
}

#[test]
fn the_summary_lists_parameters_and_buffers() {
    let net = net::<f32>(true);
    net.conv.set_frozen(true);
    let expected = "\
path               shape         count
conv.weight        (2, 1, 3, 3)     18  frozen
norm.weight        (2,)              2
norm.bias          (2,)              2
norm.running_mean  (2,)              2  buffer
norm.running_var   (2,)              2  buffer
heads.0.weight     (4, 8)           32
heads.0.bias       (4,)              4
heads.1.weight     (4, 4)           16
heads.1.bias       (4,)              4
last.weight        (3, 4)           12
90 parameters, 18 of them frozen; 4 numbers in buffers";
    assert_eq!(net.summary(), expected);
    let shared = Arc::new(Linear::<f32>::without_bias(1, 1, &mut Rng::seed(0)));
    let tied = [shared.clone(), shared];
    assert!(tied.summary().contains("1.weight  (1, 1)      1  shared"), "{}", tied.summary());
}

/// A residual block with a second batch normalization.
struct Block {
    conv: Conv2d,
    bn2: BatchNorm2d,
}

impl Module for Block {
    children!(conv, bn2);
    fn forward(&self, x: &Var) -> Var {
        chain(x, &[&self.conv, &self.bn2, &Add(x), &Activation::Relu])
    }
}

struct Layered {
    conv1: Conv2d,
    layer1: Vec<Block>,
    up: ConvTranspose2d,
    head: Sequential,
    fc: Linear,
}

impl Module for Layered {
    children!(conv1, layer1, up, head, fc);
    fn forward(&self, x: &Var) -> Var {
        let x = chain(x, &[&self.conv1, &Activation::Relu, &MaxPool2d::new(2)]);
        let x = self.up.forward(&self.layer1.forward(&x));
        self.fc.forward(&self.head.forward(&x.flatten()).relu())
    }
}

#[test]
fn operations_know_their_layers() {
    let rng = &mut Rng::seed(4);
    let block = |rng: &mut Rng| Block { conv: Conv2d::new(2, 2, 1, rng), bn2: BatchNorm2d::new(2) };
    let net = Layered {
        conv1: Conv2d::new(1, 2, 1, rng),
        layer1: vec![block(rng), block(rng)],
        up: ConvTranspose2d::builder(2, 1, 2).stride(2).bias(false).build(rng),
        head: Sequential::new().add(Linear::new(16, 3, rng)).add(Activation::Tanh),
        fc: Linear::new(3, 1, rng),
    };
    let x = Var::constant(Tensor::from_fn([2, 1, 4, 4], |i| i as f32 / 32.0));
    let layers = |y: &Var| {
        let (mut found, mut stack) = (BTreeMap::new(), vec![y.clone()]);
        while let Some(var) = stack.pop() {
            let Some(op) = var.operation() else { continue };
            stack.extend((0..op.parents()).map(|i| op.parent(i).clone()));
            found.insert(var.id(), format!("{}: {}", op.layer().unwrap_or_default(), op.rule().name()));
        }
        found.into_values().collect::<Vec<_>>()
    };
    let (fused, apart) = (net.forward(&x), unfused(|| net.forward(&x)));
    assert!(layers(&fused)[0].starts_with(": "), "the parameters have no paths yet");
    // A graph that was recorded before has the layers, too: names are read when asked for.
    net.named_parameters();
    assert_eq!(
        layers(&fused),
        [
            "conv1: conv2d_relu_max_pool2d",
            "layer1.0.conv: conv2d",
            "layer1.0.bn2: batch_norm",
            "layer1.1.conv: conv2d",
            "layer1.1.bn2: batch_norm",
            "up: conv2d input gradient",
            ": reshape",
            "head.0: linear",
            ": tanh",
            ": relu",
            "fc: linear",
        ]
    );
    let apart: Vec<String> = layers(&apart).into_iter().filter(|layer| !layer.starts_with(':')).collect();
    assert_eq!(apart[..3], ["conv1: conv2d", "layer1.0.conv: conv2d", "layer1.0.bn2: batch_norm"]);
}
