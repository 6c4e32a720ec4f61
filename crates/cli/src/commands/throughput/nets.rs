//! The nets that are timed: those of MNIST and CIFAR-10 tutorials, ResNet-18 and a U-Net, with synthetic data.

use chainrule::nets::{self, ReportOptions, Small, SmallOptions};
use chainrule::prelude::*;
use clap::ValueEnum;

use super::plain::Plain;

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
    /// Equal 3×3 convolutions with ReLU, a mean over pixels and a linear layer, of the size that --side, --channels and --depth give; Adam
    Plain,
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
            Self::Resnet18 | Self::Plain => 32,
            Self::Unet => 100,
        }
    }

    /// The net with random weights (`plain` is the size of a plain one), and a batch of normally distributed pixels and of labels.
    pub fn work(self, plain: Plain, batch: usize, device: Device) -> Work {
        let mut rng = Rng::seed(0);
        let model: Box<dyn Module> = match self {
            Self::Mnist => Box::new(Small::new([1, 28, 28], 10, SmallOptions::default(), &mut rng)),
            Self::Cifar => {
                let net = nets::report([3, 32, 32], 10, ReportOptions::default(), &mut rng);
                Box::new(net.expect("it is for images of this size"))
            }
            Self::Resnet18 => Box::new(nets::resnet18_cifar(10, &mut rng)),
            Self::Unet => Box::new(Unet::new(&mut rng)),
            Self::Plain => Box::new(plain.net(&mut rng)),
        };
        let (channels, side) = match self {
            Self::Mnist => (1, 28),
            Self::Unet => (1, 32),
            Self::Cifar | Self::Resnet18 => (3, 32),
            Self::Plain => (3, plain.side),
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

fn conv(from: usize, to: usize, rng: &mut Rng) -> Conv2d {
    Conv2d::builder(from, to, 3).padding(1).build(rng)
}

/// Convolution, batch normalization, ReLU.
fn stage(from: usize, to: usize, rng: &mut Rng) -> Sequential {
    Sequential::new().add(conv(from, to, rng)).add(BatchNorm2d::new(to)).add(Relu)
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
            last: conv(CLASSES + 1, CLASSES, rng),
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
