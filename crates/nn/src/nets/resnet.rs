//! Residual nets (He and others: "Deep residual learning for image recognition", 2015).

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Rng, Shape, ShapeError, shape_rules};

use super::convolution;
use crate::chain;
use crate::layers::{AdaptiveAvgPool2d, Add, BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, Relu, Sequential};
use crate::module::{Module, Visitor};

/// A residual net with torchvision's paths: `conv1`, `bn1`, `layer1` to `layer4`, `fc`.
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
/// two blocks each.
pub fn resnet18<T: Float>(classes: usize, rng: &mut Rng) -> ResNet<T> {
    imagenet(BlockKind::Basic, [2, 2, 2, 2], classes, rng)
}

/// torchvision's ResNet-34: as [`resnet18`], with layers of 3, 4, 6 and 3 blocks.
pub fn resnet34<T: Float>(classes: usize, rng: &mut Rng) -> ResNet<T> {
    imagenet(BlockKind::Basic, [3, 4, 6, 3], classes, rng)
}

/// torchvision's ResNet-50: as [`resnet34`], with bottleneck blocks. Their stride is that of the 3×3 convolution (the paper's is
/// that of the first 1×1 convolution).
pub fn resnet50<T: Float>(classes: usize, rng: &mut Rng) -> ResNet<T> {
    imagenet(BlockKind::Bottleneck, [3, 4, 6, 3], classes, rng)
}

/// ResNet-18 for images of 32×32: the first convolution is 3×3 of stride 1, and there is no max pooling after it. All other
/// layers are those of [`resnet18`].
pub fn resnet18_cifar<T: Float>(classes: usize, rng: &mut Rng) -> ResNet<T> {
    let conv1 = convolution(3, 64, 3, 1, false, rng);
    after(conv1, BlockKind::Basic, [2, 2, 2, 2], classes, rng)
}

fn imagenet<T: Float>(kind: BlockKind, blocks: [usize; 4], classes: usize, rng: &mut Rng) -> ResNet<T> {
    let conv1 = convolution(3, 64, 7, 2, false, rng);
    let maxpool = MaxPool2d::new(3).stride(2).padding(1);
    ResNet { maxpool: Some(maxpool), ..after(conv1, kind, blocks, classes, rng) }
}

/// The net after its first convolution: layers of so many blocks.
fn after<T: Float>(
    conv1: Conv2d<T>,
    kind: BlockKind,
    [a, b, c, d]: [usize; 4],
    classes: usize,
    rng: &mut Rng,
) -> ResNet<T> {
    let to = |width: usize| width * kind.expansion();
    ResNet {
        conv1,
        bn1: BatchNorm2d::new(64),
        maxpool: None,
        layer1: layer(kind, a, 64, 64, 1, projection, rng),
        layer2: layer(kind, b, to(64), 128, 2, projection, rng),
        layer3: layer(kind, c, to(128), 256, 2, projection, rng),
        layer4: Some(layer(kind, d, to(256), 512, 2, projection, rng)),
        fc: Linear::new(to(512), classes, rng),
    }
}

/// The paper's ResNet-20 for images of 32×32: three layers of three blocks with 16, 32 and 64 channels. Where the number of
/// channels changes, the shortcut takes every second pixel and adds channels of zeros (option A, which has no parameters).
///
/// The weights of convolutions are initialized as in [`resnet18`].
pub fn resnet20<T: Float>(classes: usize, rng: &mut Rng) -> ResNet<T> {
    let subsample = |from: usize, to: usize, _stride: usize, _rng: &mut Rng| -> Box<dyn Module<T>> {
        Box::new(Subsample { added_channels: to - from })
    };
    ResNet {
        conv1: convolution(3, 16, 3, 1, false, rng),
        bn1: BatchNorm2d::new(16),
        maxpool: None,
        layer1: layer(BlockKind::Basic, 3, 16, 16, 1, subsample, rng),
        layer2: layer(BlockKind::Basic, 3, 16, 32, 2, subsample, rng),
        layer3: layer(BlockKind::Basic, 3, 32, 64, 2, subsample, rng),
        layer4: None,
        fc: Linear::new(64, classes, rng),
    }
}

impl<T: Float> ResNet<T> {
    fn layers(&self) -> [(&'static str, &dyn Module<T>); 11] {
        let Self { conv1, bn1, maxpool, layer1, layer2, layer3, layer4, fc } = self;
        [
            ("conv1", conv1),
            ("bn1", bn1),
            ("relu", &Relu),
            ("maxpool", maxpool),
            ("layer1", layer1),
            ("layer2", layer2),
            ("layer3", layer3),
            ("layer4", layer4),
            ("avgpool", &AdaptiveAvgPool2d([1, 1])),
            ("flatten", &Flatten),
            ("fc", fc),
        ]
    }
}

impl<T: Float> Module<T> for ResNet<T> {
    crate::children!(T: conv1, bn1, layer1, layer2, layer3, layer4, fc);

    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        chain(x, &self.layers().map(|(_, layer)| layer))
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        self.layers().map(|(_, layer)| layer).output_shape(x)
    }

    fn stages(&self) -> Vec<(String, &dyn Module<T>)> {
        self.layers().map(|(name, layer)| (name.to_owned(), layer)).into()
    }
}

/// The kinds of blocks.
#[derive(Clone, Copy)]
enum BlockKind {
    /// Two 3×3 convolutions.
    Basic,
    /// A 1×1, a 3×3 and a 1×1 convolution; the last has four times as many channels.
    Bottleneck,
}

impl BlockKind {
    /// Output channels for each channel of the 3×3 convolutions.
    fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// A shortcut between different numbers of channels, with a stride.
type Shortcut<T> = fn(from: usize, to: usize, stride: usize, rng: &mut Rng) -> Box<dyn Module<T>>;

/// Blocks in sequence, whose 3×3 convolutions have `width` channels. The first has the stride, and the shortcut if shapes differ.
fn layer<T: Float>(
    kind: BlockKind,
    count: usize,
    from: usize,
    width: usize,
    stride: usize,
    shortcut: Shortcut<T>,
    rng: &mut Rng,
) -> Sequential<T> {
    let to = width * kind.expansion();
    let mut blocks = Sequential::new();
    for i in 0..count {
        let (from, stride) = if i == 0 { (from, stride) } else { (to, 1) };
        let shortcut = (from != to || stride != 1).then_some(shortcut);
        blocks = match kind {
            BlockKind::Basic => blocks.add(BasicBlock::new(from, to, stride, shortcut, rng)),
            BlockKind::Bottleneck => blocks.add(Bottleneck::new(from, width, stride, shortcut, rng)),
        };
    }
    blocks
}

/// torchvision's shortcut, the paper's option B: a 1×1 convolution and batch normalization.
fn projection<T: Float>(from: usize, to: usize, stride: usize, rng: &mut Rng) -> Box<dyn Module<T>> {
    Box::new(Sequential::new().add(convolution(from, to, 1, stride, false, rng)).add(BatchNorm2d::new(to)))
}

/// Two 3×3 convolutions and a shortcut: `relu(bn2(conv2(relu(bn1(conv1(x))))) + downsample(x))`.
struct BasicBlock<T: Float> {
    conv1: Conv2d<T>,
    bn1: BatchNorm2d<T>,
    conv2: Conv2d<T>,
    bn2: BatchNorm2d<T>,
    downsample: Option<Box<dyn Module<T>>>,
}

impl<T: Float> BasicBlock<T> {
    fn new(from: usize, to: usize, stride: usize, shortcut: Option<Shortcut<T>>, rng: &mut Rng) -> Self {
        Self {
            conv1: convolution(from, to, 3, stride, false, rng),
            bn1: BatchNorm2d::new(to),
            conv2: convolution(to, to, 3, 1, false, rng),
            bn2: BatchNorm2d::new(to),
            downsample: shortcut.map(|shortcut| shortcut(from, to, stride, rng)),
        }
    }
}

impl<T: Float> Module<T> for BasicBlock<T> {
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

/// A 1×1, a 3×3 and a 1×1 convolution and a shortcut, with ReLU as in [`BasicBlock`].
struct Bottleneck<T: Float> {
    conv1: Conv2d<T>,
    bn1: BatchNorm2d<T>,
    conv2: Conv2d<T>,
    bn2: BatchNorm2d<T>,
    conv3: Conv2d<T>,
    bn3: BatchNorm2d<T>,
    downsample: Option<Box<dyn Module<T>>>,
}

impl<T: Float> Bottleneck<T> {
    fn new(from: usize, width: usize, stride: usize, shortcut: Option<Shortcut<T>>, rng: &mut Rng) -> Self {
        let to = width * BlockKind::Bottleneck.expansion();
        Self {
            conv1: convolution(from, width, 1, 1, false, rng),
            bn1: BatchNorm2d::new(width),
            conv2: convolution(width, width, 3, stride, false, rng),
            bn2: BatchNorm2d::new(width),
            conv3: convolution(width, to, 1, 1, false, rng),
            bn3: BatchNorm2d::new(to),
            downsample: shortcut.map(|shortcut| shortcut(from, to, stride, rng)),
        }
    }

    fn convolutions(&self) -> [&dyn Module<T>; 8] {
        let Self { conv1, bn1, conv2, bn2, conv3, bn3, .. } = self;
        [conv1, bn1, &Relu, conv2, bn2, &Relu, conv3, bn3]
    }
}

impl<T: Float> Module<T> for Bottleneck<T> {
    crate::children!(T: conv1, bn1, conv2, bn2, conv3, bn3, downsample);

    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        let shortcut = self.downsample.forward(x);
        let end: [&dyn Module<T>; 2] = [&Add(&shortcut), &Relu];
        chain(x, &[&self.convolutions()[..], &end].concat())
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        shape_rules::broadcast("add", self.convolutions().output_shape(x)?, self.downsample.output_shape(x)?)
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
