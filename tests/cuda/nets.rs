//! Small nets like those of the programs.

use chainrule::prelude::*;

/// The net of the MNIST program, narrower, with dropout.
pub fn mnist(rng: &mut Rng) -> Sequential {
    Sequential::new()
        .add(Conv2d::builder(1, 4, 3).padding(1).build(rng))
        .add(Relu)
        .add(MaxPool2d::new(2))
        .add(Conv2d::builder(4, 8, 3).padding(1).build(rng))
        .add(Relu)
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Linear::new(8 * 3 * 3, 16, rng))
        .add(Activation::Relu)
        .add(Dropout::new(0.25, rng))
        .add(Linear::new(16, 10, rng))
}

/// Blocks of convolution, batch normalization, activation and pooling, as the nets for CIFAR-10 have.
pub fn cifar(rng: &mut Rng) -> Sequential {
    Sequential::new()
        .add(Conv2d::builder(3, 8, 3).padding(1).bias(false).build(rng))
        .add(BatchNorm2d::new(8))
        .add(Relu)
        .add(Conv2d::builder(8, 12, 3).padding(1).stride(2).build(rng))
        .add(BatchNorm2d::new(12))
        .add(Activation::Swish(1.0))
        .add(AvgPool2d::new(2))
        .add(Dropout::new(0.1, rng))
        .add(Flatten)
        .add(Linear::new(12 * 3 * 3, 10, rng))
}

/// Channels in multiples of 8, as bf16 operands require.
pub fn wide(rng: &mut Rng) -> Sequential {
    Sequential::new()
        .add(Conv2d::builder(3, 16, 3).padding(1).build(rng))
        .add(BatchNorm2d::new(16))
        .add(Relu)
        .add(Conv2d::builder(16, 16, 3).padding(1).bias(false).build(rng))
        .add(BatchNorm2d::new(16))
        .add(Activation::Relu)
        .add(MaxPool2d::new(2))
        .add(Conv2d::builder(16, 24, 3).padding(1).build(rng))
        .add(Relu)
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Linear::new(24 * 3 * 3, 32, rng))
        .add(Activation::Tanh)
        .add(Dropout::new(0.2, rng))
        .add(Linear::new(32, 10, rng))
}
