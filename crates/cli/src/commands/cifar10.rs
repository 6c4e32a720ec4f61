//! Trains a CNN on CIFAR-10.

use chainrule::data::{RandomCrop, RandomHorizontalFlip, Transform, cifar10};
use chainrule::nets::{self, ReportOptions};
use chainrule::prelude::*;
use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::training::memory;
use crate::training::options::Options;
use crate::training::report;
use crate::training::small_cnn::small_cnn;
use crate::training::train::{Task, train};

/// Trains a CNN on the images of CIFAR-10
#[derive(Args)]
pub struct Arguments {
    /// The net
    #[arg(long, value_enum, default_value_t = NetKind::Small)]
    net: NetKind,
    /// Augmentation; crop-flip: a random crop after padding by 4, and a horizontal flip with probability 0.5
    #[arg(long, value_enum, default_value_t = Augment::None)]
    augment: Augment,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NetKind {
    /// The net of `chainrule mnist`: two convolutions and two linear layers
    Small,
    /// Six convolutions, batch normalization and three linear layers
    Report,
    /// ResNet-18 with a first convolution of 3×3 and no max pooling
    Resnet18,
    /// ResNet-20 for CIFAR, of the paper that introduced residual nets
    Resnet20,
    /// VGG-16 with batch normalization and a single linear layer
    Vgg16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Augment {
    None,
    CropFlip,
}

pub fn run(Arguments { net, augment, options }: &Arguments) -> Result<(), Failure> {
    net.check(options)?;
    let device = options.compute.prepare()?;
    let dataset = cifar10::load(options.data_dir.as_deref(), options.offline, &mut report::download)?;
    let model = net.build(options, dataset.train().image_shape(), dataset.train().classes().len())?;
    let transforms: Vec<Box<dyn Transform>> = match augment {
        Augment::None => Vec::new(),
        Augment::CropFlip => vec![Box::new(RandomCrop::padded(4)), Box::new(RandomHorizontalFlip)],
    };
    let settings = vec![("--net", net.name()), ("--augment", format!("{augment:?}").to_lowercase())];
    train(Task { program: "cifar10", net: &*model, dataset, augment: transforms, settings }, options, device)
}

impl NetKind {
    /// The name in flags.
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Checks that the flags that change a net are given only with a net that has such a setting.
    fn check(self, options: &Options) -> Result<(), Failure> {
        if self != Self::Small && (options.kernel != 3 || options.channels.0 != [8, 16]) {
            let text = "--kernel and --channels are settings of `--net small`; the {} net has its own";
            return Err(Failure::Usage(text.replace("{}", &self.name())));
        }
        let activations = [options.activation, options.conv_activation()];
        let other = options.dropout.is_some() || activations != [Activation::Relu; 2];
        if other && !matches!(self, Self::Small | Self::Report) {
            let text = "--activation, --conv-activation and --dropout are settings of `--net small` and `--net report`; the {} net has ReLU and no dropout";
            return Err(Failure::Usage(text.replace("{}", &self.name())));
        }
        Ok(())
    }

    /// The net for images of `[channels, height, width]`. Whether it accepts their size is checked before training.
    fn build(self, options: &Options, image: [usize; 3], classes: usize) -> Result<Box<dyn Module>, Failure> {
        let rng = &mut Rng::seed(options.seed);
        Ok(match self {
            Self::Small => Box::new(small_cnn(options, image, classes)?),
            Self::Report => {
                let settings = ReportOptions {
                    conv_activation: options.conv_activation(),
                    activation: options.activation,
                    dropout: options.dropout.unwrap_or(ReportOptions::default().dropout),
                };
                // Its first linear layer has most of the weights; each block halves the image, and pads it.
                let inputs = image[1..].iter().map(|&side| side as f64 / 8.0 + 2.0).product::<f64>() * 160.0;
                let bytes = inputs * 1024.0 * size_of::<f32>() as f64;
                memory::require(options, "the report net for these images", bytes, "use smaller images")?;
                let net = nets::report(image, classes, settings, rng);
                Box::new(net.map_err(|error| Failure::Usage(error.to_string()))?)
            }
            Self::Resnet18 => Box::new(nets::resnet18_cifar(classes, rng)),
            Self::Resnet20 => Box::new(nets::resnet20(classes, rng)),
            Self::Vgg16 => Box::new(nets::vgg16_bn_cifar(classes, rng)),
        })
    }
}
