//! Nets that compute again what they did not keep.

use chainrule_autograd::Var;
use chainrule_nn::nets::resnet20;
use chainrule_nn::{
    Activation, BatchNorm1d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, Optimizer, Recompute,
    Relu, Sequential, Sgd, unfused, weights_sha256,
};
use chainrule_tensor::{Key, Purpose, Rng, Tensor};

/// Three blocks with dropout and batch normalization.
fn blocks(wrap: fn(Sequential) -> Box<dyn Module>) -> Sequential {
    let rng = &mut Rng::seed(3);
    let mut net = Sequential::new().add(Linear::new(6, 16, rng));
    for _ in 0..3 {
        let block = Sequential::new()
            .add(Linear::new(16, 16, rng))
            .add(BatchNorm1d::new(16))
            .add(Activation::Gelu)
            .add(Dropout::new(0.3, rng));
        net = net.add(wrap(block));
    }
    net.add(Linear::new(16, 2, rng))
}

/// The checksum of weights, running statistics and counters after three steps.
fn trained(net: &dyn Module, x: &Var) -> String {
    let mut optimizer = Sgd::new(net.parameters(), 0.05).momentum(0.9);
    for _ in 0..3 {
        let loss = net.forward(x).square().mean();
        optimizer.step(&loss.backward());
    }
    weights_sha256(net)
}

#[test]
fn dropout_and_batch_normalization_happen_once_a_step() {
    let x = Var::constant(Tensor::random_normal(Key::new(0, Purpose::USER), [8, 6]));
    let kept = trained(&blocks(|block| Box::new(block)), &x);
    assert_eq!(trained(&blocks(|block| Box::new(Recompute::new(block))), &x), kept);
    assert_eq!(trained(&Recompute::in_segments(blocks(|block| Box::new(block)), 3), &x), kept);
    // Paths, and so checkpoints, are those of the net itself.
    let names = |net: &dyn Module| net.named_parameters().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let net = blocks(|block| Box::new(Recompute::new(block)));
    assert_eq!(names(&net), names(&blocks(|block| Box::new(block))));
}

#[test]
fn the_mode_is_that_of_the_first_run() {
    let x = Var::constant(Tensor::random_normal(Key::new(0, Purpose::USER), [8, 6]));
    let [kept, again] = [blocks(|block| Box::new(block)), blocks(|block| Box::new(Recompute::new(block)))].map(|net| {
        let loss = net.forward(&x).square().mean();
        net.eval();
        let gradients = loss.backward();
        net.parameters().iter().map(|parameter| gradients[parameter].to_vec()).collect::<Vec<_>>()
    });
    assert_eq!(kept, again);
}

#[test]
fn a_residual_net_in_segments_has_the_same_bits() {
    let x = Var::constant(Tensor::random_normal(Key::new(1, Purpose::USER), [4, 3, 16, 16]));
    let kept = trained(&resnet20::<f32>(10, &mut Rng::seed(0)), &x);
    for segments in [2, 4, 15] {
        let net = Recompute::in_segments(resnet20::<f32>(10, &mut Rng::seed(0)), segments);
        assert_eq!(trained(&net, &x), kept, "{segments} segments");
    }
    let net = Recompute::in_segments(resnet20::<f32>(10, &mut Rng::seed(0)), 4);
    assert_eq!(unfused(|| trained(&net, &x)), kept);
}

#[test]
fn what_is_fused_is_not_cut_apart() {
    let rng = &mut Rng::seed(0);
    let conv = |rng: &mut Rng| Conv2d::builder(3, 3, 3).padding(1).build(rng);
    // Convolution, normalization, relu and pooling are a part, and so are convolution, relu and pooling.
    let net: Sequential = Sequential::new()
        .add(conv(rng))
        .add(BatchNorm2d::new(3))
        .add(Relu)
        .add(MaxPool2d::new(2))
        .add(conv(rng))
        .add(Activation::Relu)
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Linear::new(3 * 4 * 4, 2, rng));
    assert_eq!(Recompute::parts(&net), 4);
}

#[test]
#[should_panic(expected = "16 segments of a net of 15 parts")]
fn more_segments_than_parts_are_refused() {
    let _ = Recompute::in_segments(resnet20::<f32>(10, &mut Rng::seed(0)), 16);
}
