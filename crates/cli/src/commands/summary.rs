//! Prints what a net computes: operations, shapes, parameters, multiply-adds, memory.

use std::str::FromStr;

use chainrule::nets::{self, Fast, ReportOptions, Small, SmallOptions};
use chainrule::nn::Summary;
use chainrule::prelude::*;
use clap::{Args, ValueEnum};

use crate::failure::Failure;

/// Prints the operations of a net with output shapes, parameters, multiply-adds and memory
#[derive(Args)]
pub struct Arguments {
    /// The net, with its default settings
    #[arg(long, value_enum)]
    net: NetKind,
    /// Channels, height and width of the images [default: 3,32,32; for torchvision's nets 3,224,224]
    #[arg(long, value_name = "C,H,W")]
    input: Option<Image>,
    /// The number of classes [default: 10; for torchvision's nets 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    classes: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NetKind {
    /// That of `mnist` and `cifar10`: two convolutions and two linear layers
    Small,
    /// That of `cifar10 --net report`: six convolutions, batch normalization and three linear layers
    Report,
    /// ResNet-18 with a first convolution of 3×3 and no max pooling, as in `cifar10`
    Resnet18,
    /// ResNet-20 for CIFAR, of the paper that introduced residual nets
    Resnet20,
    /// VGG-16 with batch normalization and a single linear layer, as in `cifar10`
    Vgg16,
    /// A whitened convolution and three blocks, with the published widths 64, 256 and 256
    Fast,
    /// torchvision's ResNet-18
    TorchvisionResnet18,
    /// torchvision's VGG-16, which needs more than 500 MB
    TorchvisionVgg16,
    /// torchvision's VGG-16 with batch normalization, which needs more than 500 MB
    TorchvisionVgg16Bn,
}

/// Channels, height and width.
#[derive(Clone, Copy, Debug)]
struct Image([usize; 3]);

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The net is run on the image, so it must not be too large for that.
        let size = |text: &str| text.trim().parse().ok().filter(|n| (1..=512).contains(n));
        let sizes: Option<Vec<usize>> = text.split(',').map(size).collect();
        let image = sizes.and_then(|sizes| sizes.try_into().ok());
        image.map(Self).ok_or_else(|| "expected three integers from 1 to 512, such as 3,32,32".into())
    }
}

pub fn run(&Arguments { net, input, classes }: &Arguments) -> Result<(), Failure> {
    use NetKind::{TorchvisionResnet18, TorchvisionVgg16, TorchvisionVgg16Bn};
    let torchvision = matches!(net, TorchvisionResnet18 | TorchvisionVgg16 | TorchvisionVgg16Bn);
    let (default_image, default_classes) = if torchvision { ([3, 224, 224], 1000) } else { ([3, 32, 32], 10) };
    let Image(image) = input.unwrap_or(Image(default_image));
    let classes = classes.unwrap_or(default_classes) as usize;
    let rng = &mut Rng::seed(0);
    let refused = |error: ShapeError| {
        let [c, h, w] = image;
        Failure::Usage(format!("the net does not accept images of {c}×{h}×{w}\n{error}"))
    };
    let model: Box<dyn Module> = match net {
        NetKind::Small => Box::new(Small::new(image, classes, SmallOptions::default(), rng)),
        NetKind::Report => Box::new(nets::report(image, classes, ReportOptions::default(), rng).map_err(refused)?),
        NetKind::Resnet18 => Box::new(nets::resnet18_cifar(classes, rng)),
        NetKind::Resnet20 => Box::new(nets::resnet20(classes, rng)),
        NetKind::Vgg16 => Box::new(nets::vgg16_bn_cifar(classes, rng)),
        NetKind::Fast => Box::new(Fast::new(Fast::<f32>::WIDTHS, classes, rng)),
        TorchvisionResnet18 => Box::new(nets::resnet18(classes, rng)),
        TorchvisionVgg16 => Box::new(nets::vgg16(classes, rng)),
        TorchvisionVgg16Bn => Box::new(nets::vgg16_bn(classes, rng)),
    };
    let [c, h, w] = image;
    println!("{}", Summary::of(&*model, [1, c, h, w]).map_err(refused)?);
    Ok(())
}
