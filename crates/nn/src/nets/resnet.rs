//! Residual nets (He and others: "Deep residual learning for image recognition", 2015).

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Rng, Shape, ShapeError, shape_rules};

use super::convolution;
use crate::chain;
use crate::layers::{AdaptiveAvgPool2d, Add, BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, Relu, Sequential};
use crate::module::{Module, Visitor};

/// A residual net of basic blocks, with torchvision's paths: `conv1`, `bn1`, `layer1` to `layer4`, `fc`.
pub struct ResNet<T: Float = f32> {
    conv1: Conv2d<T>,
    bn1: BatchNorm2d<T>,
    maxpool: Option<MaxPool2d>,
    layer1: Sequential<T>,
    layer2: Sequential<T>,
    layer3: Sequential<T>,
    layer4: Option<Sequential<T>>,
    fc: Linear<T>,
}

/// torchvision's ResNet-18 for images of about 224×224: a 7×7 convolution of stride 2 and max pooling, then four layers of
/// two blocks.
pub fn resnet18<T: Float>(classes: usize, rng: &mut Rng) -> ResNet<T> {
    let conv1 = convolution(3, 64, 7, 2, false, rng);
    let maxpool = MaxPool2d::new(3).stride(2).padding(1);
    ResNet { maxpool: Some(maxpool), ..resnet18_after(conv1, classes, rng) }
}

/// ResNet-18 for images of 32×32: the first convolution is 3×3 of stride 1, and there is no max pooling after it. All other
/// layers are those of [`resnet18`].
pub fn resnet18_cifar<T: Float>(classes: usize, rng: &mut Rng) -> ResNet<T> {
    let conv1 = convolution(3, 64, 3, 1, false, rng);
    resnet18_after(conv1, classes, rng)
}

fn resnet18_after<T: Float>(conv1: Conv2d<T>, classes: usize, rng: &mut Rng) -> ResNet<T> {
    ResNet {
        conv1,
        bn1: BatchNorm2d::new(64),
        maxpool: None,
        layer1: blocks(2, 64, 64, projection, rng),
        layer2: blocks(2, 64, 128, projection, rng),
        layer3: blocks(2, 128, 256, projection, rng),
        layer4: Some(blocks(2, 256, 512, projection, rng)),
        fc: Linear::new(512, classes, rng),
    }
}

/// The paper's ResNet-20 for images of 32×32: three layers of three blocks with 16, 32 and 64 channels. Where the number of
/// channels changes, the shortcut takes every second pixel and adds channels of zeros (option A, which has no parameters).
///
/// The weights of convolutions are initialized as in [`resnet18`].
pub fn resnet20<T: Float>(classes: usize, rng: &mut Rng) -> ResNet<T> {
    let subsample = |from: usize, to: usize, _rng: &mut Rng| -> Box<dyn Module<T>> {
        Box::new(Subsample { added_channels: to - from })
    };
    ResNet {
        conv1: convolution(3, 16, 3, 1, false, rng),
        bn1: BatchNorm2d::new(16),
        maxpool: None,
        layer1: blocks(3, 16, 16, subsample, rng),
        layer2: blocks(3, 16, 32, subsample, rng),
        layer3: blocks(3, 32, 64, subsample, rng),
        layer4: None,
        fc: Linear::new(64, classes, rng),
    }
}

impl<T: Float> ResNet<T> {
    fn layers(&self) -> [&dyn Module<T>; 11] {
        let Self { conv1, bn1, maxpool, layer1, layer2, layer3, layer4, fc } = self;
        [conv1, bn1, &Relu, maxpool, layer1, layer2, layer3, layer4, &AdaptiveAvgPool2d([1, 1]), &Flatten, fc]
    }
}

impl<T: Float> Module<T> for ResNet<T> {
    crate::children!(T: conv1, bn1, layer1, layer2, layer3, layer4, fc);

    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        chain(x, &self.layers())
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        self.layers().output_shape(x)
    }
}

/// A shortcut between different numbers of channels, which halves the image.
type Shortcut<T> = fn(from: usize, to: usize, rng: &mut Rng) -> Box<dyn Module<T>>;

/// Basic blocks in sequence. If the number of channels changes, the first has stride 2 and the given shortcut.
fn blocks<T: Float>(count: usize, from: usize, to: usize, shortcut: Shortcut<T>, rng: &mut Rng) -> Sequential<T> {
    let first = Block::new(from, to, (from != to).then_some(shortcut), rng);
    (1..count).fold(Sequential::new().add(first), |blocks, _| blocks.add(Block::new(to, to, None, rng)))
}

/// torchvision's shortcut, the paper's option B: a 1×1 convolution and batch normalization.
fn projection<T: Float>(from: usize, to: usize, rng: &mut Rng) -> Box<dyn Module<T>> {
    Box::new(Sequential::new().add(convolution(from, to, 1, 2, false, rng)).add(BatchNorm2d::new(to)))
}

/// Two 3×3 convolutions and a shortcut: `relu(bn2(conv2(relu(bn1(conv1(x))))) + downsample(x))`.
struct Block<T: Float> {
    conv1: Conv2d<T>,
    bn1: BatchNorm2d<T>,
    conv2: Conv2d<T>,
    bn2: BatchNorm2d<T>,
    downsample: Option<Box<dyn Module<T>>>,
}

impl<T: Float> Block<T> {
    fn new(from: usize, to: usize, shortcut: Option<Shortcut<T>>, rng: &mut Rng) -> Self {
        let stride = if shortcut.is_some() { 2 } else { 1 };
        Self {
            conv1: convolution(from, to, 3, stride, false, rng),
            bn1: BatchNorm2d::new(to),
            conv2: convolution(to, to, 3, 1, false, rng),
            bn2: BatchNorm2d::new(to),
            downsample: shortcut.map(|shortcut| shortcut(from, to, rng)),
        }
    }
}

impl<T: Float> Module<T> for Block<T> {
    crate::children!(T: conv1, bn1, conv2, bn2, downsample);

    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        let shortcut = self.downsample.forward(x);
        chain(x, &[&self.conv1, &self.bn1, &Relu, &self.conv2, &self.bn2, &Add(&shortcut), &Relu])
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let layers: [&dyn Module<T>; 4] = [&self.conv1, &self.bn1, &self.conv2, &self.bn2];
        shape_rules::broadcast("add", layers.output_shape(x)?, self.downsample.output_shape(x)?)
    }
}

/// Every second row and column, and channels of zeros after those of x: (N,C,H,W) → (N, C + added, ⌈H/2⌉, ⌈W/2⌉).
struct Subsample {
    added_channels: usize,
}

impl<T: Float> Module<T> for Subsample {
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        let halved = |x: &VarOf<T>, axis: usize| x.slice(axis as isize, 0, x.shape()[axis].div_ceil(2), 2);
        halved(&halved(x, 2), 3).pad(&[(0, 0), (0, self.added_channels), (0, 0), (0, 0)], 0.0)
    }

    fn visit(&self, _visitor: &mut Visitor<'_, T>) {}

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        Ok(x.with(1, x[1] + self.added_channels).with(2, x[2].div_ceil(2)).with(3, x[3].div_ceil(2)))
    }
}
