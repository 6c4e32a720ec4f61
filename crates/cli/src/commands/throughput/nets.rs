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
    /// A U-Net that assigns one of 24 classes to each of 32×32 pixels; Adam
    Unet,
}

/// A net with its optimizer and training data.
pub struct Work {
    pub model: Box<dyn Module>,
    pub images: Var,
    pub labels: chainrule::tensor::TensorOf<i32>,
    pub optimizer: Box<dyn Optimizer>,
}

impl Net {
    /// The default batch size of the net.
    pub fn batch(self) -> usize {
        match self {
            Self::Mnist | Self::Cifar => 64,
            Self::Resnet18 => 32,
            Self::Unet => 100,
        }
    }

    /// The net with random weights, and a batch of normally distributed pixels and of labels.
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
        .add(conv(1, 8, 1, rng))
        .add(Relu)
        .add(MaxPool2d::new(2))
        .add(conv(8, 16, 1, rng))
        .add(Relu)
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Linear::new(16 * 7 * 7, 128, rng))
        .add(Relu)
        .add(Linear::new(128, 10, rng))
}

fn cifar(rng: &mut Rng) -> Sequential {
    let mut net = Sequential::new();
    for (block, (from, middle, to)) in [(3, 6, 10), (10, 20, 40), (40, 80, 160)].into_iter().enumerate() {
        let [first, second] = [[1, 1], [1, 2], [2, 2]][block];
        net = net
            .add(conv(from, middle, first, rng))
            .add(BatchNorm2d::new(middle))
            .add(Relu)
            .add(conv(middle, to, second, rng))
            .add(Relu)
            .add(MaxPool2d::new(2));
        if block > 0 {
            net = net.add(Dropout::new(0.1, rng));
        }
    }
    net.add(Flatten)
        .add(Linear::new(160 * 6 * 6, 1024, rng))
        .add(Relu)
        .add(Linear::new(1024, 128, rng))
        .add(Relu)
        .add(Dropout::new(0.1, rng))
        .add(Linear::new(128, 10, rng))
}

/// A convolution without bias.
fn unbiased(from: usize, to: usize, kernel: usize, stride: usize, rng: &mut Rng) -> Conv2d {
    Conv2d::builder(from, to, kernel).stride(stride).padding(kernel / 2).bias(false).build(rng)
}

/// A residual block: two convolutions and a shortcut, with a 1×1 convolution where shapes differ (He and others: "Deep
/// residual learning for image recognition", 2016).
struct Block {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    shortcut: Option<Sequential>,
}

impl Block {
    fn new(from: usize, to: usize, stride: usize, rng: &mut Rng) -> Self {
        Self {
            conv1: unbiased(from, to, 3, stride, rng),
            bn1: BatchNorm2d::new(to),
            conv2: unbiased(to, to, 3, 1, rng),
            bn2: BatchNorm2d::new(to),
            shortcut: (stride != 1 || from != to)
                .then(|| Sequential::new().add(unbiased(from, to, 1, stride, rng)).add(BatchNorm2d::new(to))),
        }
    }
}

impl Module for Block {
    children!(conv1, bn1, conv2, bn2, shortcut);

    fn forward(&self, x: &Var) -> Var {
        let shortcut = self.shortcut.forward(x);
        chain(x, &[&self.conv1, &self.bn1, &Relu, &self.conv2, &self.bn2, &Add(&shortcut), &Relu])
    }
}

struct Resnet18 {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    blocks: Sequential,
    fc: Linear,
}

impl Resnet18 {
    fn new(rng: &mut Rng) -> Self {
        let conv1 = unbiased(3, 64, 3, 1, rng);
        let mut blocks = Sequential::new();
        let mut from = 64;
        for (to, stride) in [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)] {
            blocks = blocks.add(Block::new(from, to, stride, rng));
            from = to;
        }
        Self { conv1, bn1: BatchNorm2d::new(64), blocks, fc: Linear::new(512, 10, rng) }
    }
}

impl Module for Resnet18 {
    children!(conv1, bn1, blocks, fc);

    fn forward(&self, x: &Var) -> Var {
        let pool = AdaptiveAvgPool2d([1, 1]);
        chain(x, &[&self.conv1, &self.bn1, &Relu, &self.blocks, &pool, &Flatten, &self.fc])
    }
}

/// Convolution, batch normalization, ReLU.
fn stage(from: usize, to: usize, rng: &mut Rng) -> Sequential {
    Sequential::new().add(conv(from, to, 1, rng)).add(BatchNorm2d::new(to)).add(Relu)
}

/// Two levels of downsampling and upsampling with skip connections (Ronneberger and others: "U-Net: convolutional networks
/// for biomedical image segmentation", 2015).
struct Unet {
    down1: Sequential,
    down2: Sequential,
    bottom: Sequential,
    up1: Sequential,
    up2: Sequential,
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
