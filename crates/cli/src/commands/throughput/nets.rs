//! The nets that are timed: those of MNIST and CIFAR-10 tutorials, ResNet-18 and a U-Net, with synthetic data.

use chainrule::prelude::*;
use clap::ValueEnum;

/// A net to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Net {
    /// Two convolutions and two linear layers on 28×28; Adam
    Mnist,
    /// Six convolutions, batch normalization, three linear layers on 32×32; Adam
    Cifar,
    /// ResNet-18 with the stem for small images on 32×32; SGD with momentum
    Resnet18,
    /// A U-Net that colors 32×32 pixels in 24 classes; Adam
    Unet,
}

/// A net with what it is trained on.
pub struct Work {
    pub model: Box<dyn Module>,
    pub images: Var,
    pub labels: chainrule::tensor::TensorOf<i32>,
    pub optimizer: Box<dyn Optimizer>,
}

impl Net {
    /// The batch that the net is usually timed with.
    pub fn batch(self) -> usize {
        match self {
            Self::Mnist | Self::Cifar => 64,
            Self::Resnet18 => 32,
            Self::Unet => 100,
        }
    }

    /// The net with weights drawn, and a batch of normal pixels and of labels.
    pub fn work(self, batch: usize, device: Device) -> Work {
        let mut rng = Rng::seed(0);
        let model: Box<dyn Module> = match self {
            Self::Mnist => Box::new(mnist(&mut rng)),
            Self::Cifar => Box::new(cifar(&mut rng)),
            Self::Resnet18 => Box::new(Resnet18::new(&mut rng)),
            Self::Unet => Box::new(Unet::new(&mut rng)),
        };
        let (channels, side) = match self {
            Self::Mnist => (1, 28),
            Self::Unet => (1, 32),
            Self::Cifar | Self::Resnet18 => (3, 32),
        };
        let images = Tensor::random_normal(Key::new(0, Purpose::USER), [batch, channels, side, side]);
        let (labels, classes) = match self {
            Self::Unet => (Shape::from([batch, side, side]), 24),
            _ => (Shape::from(batch), 10),
        };
        let labels = TensorOf::from_fn(labels, |i| (i * 7 % classes) as i32);
        model.to(device);
        let (images, labels) = (images.to(device), labels.to(device));
        let parameters = model.parameters();
        let optimizer: Box<dyn Optimizer> = match self {
            Self::Resnet18 => Box::new(Sgd::new(parameters, 0.01).momentum(0.9).weight_decay(5e-4)),
            _ => Box::new(Adam::new(parameters, 1e-3)),
        };
        Work { model, images: Var::constant(images), labels, optimizer }
    }
}

fn conv(from: usize, to: usize, padding: usize, rng: &mut Rng) -> Conv2d {
    Conv2d::builder(from, to, 3).padding(padding).build(rng)
}

fn mnist(rng: &mut Rng) -> Sequential {
    Sequential::new()
        .add(ConvReluMaxPool2d(conv(1, 8, 1, rng), MaxPool2d::new(2)))
        .add(ConvReluMaxPool2d(conv(8, 16, 1, rng), MaxPool2d::new(2)))
        .add(Flatten)
        .add(Linear::new(16 * 7 * 7, 128, rng))
        .add(Activation::Relu)
        .add(Linear::new(128, 10, rng))
}

fn cifar(rng: &mut Rng) -> Sequential {
    let mut net = Sequential::new();
    for (block, (from, middle, to)) in [(3, 6, 10), (10, 20, 40), (40, 80, 160)].into_iter().enumerate() {
        let [first, second] = [[1, 1], [1, 2], [2, 2]][block];
        net = net
            .add(ConvBatchNorm2d::new(conv(from, middle, first, rng)).relu())
            .add(ConvReluMaxPool2d(conv(middle, to, second, rng), MaxPool2d::new(2)));
        if block > 0 {
            net = net.add(Dropout::new(0.1, rng));
        }
    }
    net.add(Flatten)
        .add(Linear::new(160 * 6 * 6, 1024, rng))
        .add(Activation::Relu)
        .add(Linear::new(1024, 128, rng))
        .add(Activation::Relu)
        .add(Dropout::new(0.1, rng))
        .add(Linear::new(128, 10, rng))
}

/// A convolution without bias, and its batch normalization.
fn conv_bn(from: usize, to: usize, kernel: usize, stride: usize, rng: &mut Rng) -> ConvBatchNorm2d {
    ConvBatchNorm2d::new(Conv2d::builder(from, to, kernel).stride(stride).padding(kernel / 2).bias(false).build(rng))
}

/// Two convolutions around which the input passes unchanged, or through a 1×1 convolution where shapes differ
/// (He and others: "Deep residual learning for image recognition", 2016).
struct Block {
    first: ConvBatchNorm2d,
    second: ConvBatchNorm2d,
    shortcut: Option<ConvBatchNorm2d>,
}

impl Block {
    fn new(from: usize, to: usize, stride: usize, rng: &mut Rng) -> Self {
        Self {
            first: conv_bn(from, to, 3, stride, rng).relu(),
            second: conv_bn(to, to, 3, 1, rng),
            shortcut: (stride != 1 || from != to).then(|| conv_bn(from, to, 1, stride, rng)),
        }
    }
}

impl Module for Block {
    children!(first, second, shortcut);

    fn forward(&self, x: &Var) -> Var {
        let y = self.first.forward(x);
        match &self.shortcut {
            Some(shortcut) => self.second.forward_add_relu(&y, &shortcut.forward(x)),
            None => self.second.forward_add_relu(&y, x),
        }
    }
}

struct Resnet18 {
    stem: ConvBatchNorm2d,
    blocks: Sequential,
    fc: Linear,
}

impl Resnet18 {
    fn new(rng: &mut Rng) -> Self {
        let stem = conv_bn(3, 64, 3, 1, rng).relu();
        let mut blocks = Sequential::new();
        let mut from = 64;
        for (to, stride) in [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)] {
            blocks = blocks.add(Block::new(from, to, stride, rng));
            from = to;
        }
        Self { stem, blocks, fc: Linear::new(512, 10, rng) }
    }
}

impl Module for Resnet18 {
    children!(stem, blocks, fc);

    fn forward(&self, x: &Var) -> Var {
        let x = self.blocks.forward(&self.stem.forward(x));
        self.fc.forward(&x.adaptive_avg_pool2d([1, 1]).flatten())
    }
}

/// Convolution, batch normalization, ReLU.
fn stage(from: usize, to: usize, rng: &mut Rng) -> ConvBatchNorm2d {
    ConvBatchNorm2d::new(conv(from, to, 1, rng)).relu()
}

/// Down twice, up twice, each level joined with its counterpart (Ronneberger and others: "U-Net: convolutional networks
/// for biomedical image segmentation", 2015).
struct Unet {
    down1: ConvBatchNorm2d,
    down2: ConvBatchNorm2d,
    bottom: ConvBatchNorm2d,
    up1: ConvBatchNorm2d,
    up2: ConvBatchNorm2d,
    last: Conv2d,
}

impl Unet {
    fn new(rng: &mut Rng) -> Self {
        const FILTERS: usize = 32;
        const CLASSES: usize = 24;
        Self {
            down1: stage(1, FILTERS, rng),
            down2: stage(FILTERS, 2 * FILTERS, rng),
            bottom: stage(2 * FILTERS, 2 * FILTERS, rng),
            up1: stage(4 * FILTERS, FILTERS, rng),
            up2: stage(2 * FILTERS, CLASSES, rng),
            last: conv(CLASSES + 1, CLASSES, 1, rng),
        }
    }
}

impl Module for Unet {
    children!(down1, down2, bottom, up1, up2, last);

    fn forward(&self, x: &Var) -> Var {
        let a = self.down1.forward(x).max_pool2d(2);
        let b = self.down2.forward(&a).max_pool2d(2);
        let c = self.bottom.forward(&b);
        let d = self.up1.forward(&Var::concat(&[&c, &b], 1)).upsample_nearest2d([16, 16]);
        let e = self.up2.forward(&Var::concat(&[&d, &a], 1)).upsample_nearest2d([32, 32]);
        self.last.forward(&Var::concat(&[&e, x], 1))
    }
}
