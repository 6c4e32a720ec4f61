//! The nets that are trained, by name, and the flags that change them.

use std::str::FromStr;

use chainrule::data::{Images, Loader, Normalize};
use chainrule::nets::{self, BlocksOptions, ColorizeOptions, Fast, ReportOptions, Small, SmallOptions, UNet};
use chainrule::prelude::*;
use clap::{Args, ValueEnum};

use super::memory::{self, Limit};
use super::program::{Labeled, Program};
use crate::failure::Failure;

/// A net.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetKind {
    /// Two convolutions and two linear layers
    Small,
    /// Six convolutions, batch normalization and three linear layers
    Report,
    /// Three blocks of two convolutions with batch normalization, and a linear layer
    Blocks,
    /// A whitened convolution and three blocks, with the published widths 64, 256 and 256
    Fast,
    /// ResNet-18 with a first convolution of 3×3 and no max pooling
    Resnet18,
    /// ResNet-20 for CIFAR, of the paper that introduced residual nets
    Resnet20,
    /// VGG-16 with batch normalization and a single linear layer
    Vgg16,
    /// torchvision's ResNet-18, made for 224×224
    TorchvisionResnet18,
    /// torchvision's ResNet-34, made for 224×224
    TorchvisionResnet34,
    /// torchvision's ResNet-50, made for 224×224
    TorchvisionResnet50,
    /// torchvision's VGG-11, which needs more than 500 MB
    TorchvisionVgg11,
    /// torchvision's VGG-11 with batch normalization, which needs more than 500 MB
    TorchvisionVgg11Bn,
    /// torchvision's VGG-16, which needs more than 500 MB
    TorchvisionVgg16,
    /// torchvision's VGG-16 with batch normalization, which needs more than 500 MB
    TorchvisionVgg16Bn,
    /// For `colorize`: six convolutions, down to a quarter of the sides and up again
    Base,
    /// For `colorize`: base with skips, which concatenate what was there on the way down
    Unet,
    /// For `colorize`: base with residual blocks
    Residual,
}

impl NetKind {
    /// Whether it is a net of torchvision for ImageNet.
    pub fn is_of_torchvision(self) -> bool {
        self.name().starts_with("torchvision-")
    }

    /// What has a label in the images of the net.
    fn labeled(self) -> Labeled {
        if [Self::Base, Self::Unet, Self::Residual].contains(&self) { Labeled::Pixels } else { Labeled::Images }
    }

    /// The name in flags.
    pub fn name(self) -> String {
        self.to_possible_value().expect("none is hidden").get_name().to_owned()
    }
}

/// A net and its settings.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Net")]
pub struct NetOptions {
    /// The net
    #[arg(id = "net", long, value_enum, default_value_t = NetKind::Small)]
    pub kind: NetKind,
    /// Activation function: relu, relu6, leaky:<slope>, elu, celu, selu, gelu, gelu-tanh, swish, hardswish, mish, softplus, sigmoid, logsigmoid, hardsigmoid, tanh, hardtanh or softsign [default: relu]
    #[arg(long, value_parser = Activation::from_str)]
    pub activation: Option<Activation>,
    /// Activation function after the convolutions [default: the same as --activation]
    #[arg(long, value_parser = Activation::from_str)]
    pub conv_activation: Option<Activation>,
    /// Kernel size of the convolutions of the small net and of those for `colorize`: 1, 3, 5 or 7 [default: 3]
    #[arg(long, value_parser = kernel)]
    pub kernel: Option<usize>,
    /// Dropout probability between the linear layers [default: 0, for `--net report` 0.1]
    #[arg(long, value_parser = probability)]
    pub dropout: Option<f64>,
    /// Output channels of the two convolutions of the small net [default: 8,16]
    #[arg(long, value_parser = numbers::<2>, value_name = "A,B")]
    pub channels: Option<[usize; 2]>,
    /// Channels of the three blocks of the blocks net and of the fast net [default: 32,64,128 and 64,256,256]
    #[arg(long, value_parser = numbers::<3>, value_name = "A,B,C")]
    pub widths: Option<[usize; 3]>,
    /// Outputs of the first convolution of the nets for `colorize`; those in the middle have twice as many [default: 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub nf: Option<u16>,
}

/// N positive integers, separated by commas.
fn numbers<const N: usize>(text: &str) -> Result<[usize; N], String> {
    let numbers = text.split(',').map(|part| part.trim().parse().ok().filter(|&n| n > 0));
    let numbers: Option<Vec<usize>> = numbers.collect();
    let (count, example) = if N == 2 { ("two", "8,16") } else { ("three", "64,256,256") };
    numbers
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| format!("expected {count} positive integers, such as {example}"))
}

fn probability(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if (0.0..1.0).contains(&p) => Ok(p),
        _ => Err("expected a probability of at least 0 and less than 1, such as 0.5".into()),
    }
}

fn kernel(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        "5" => Ok(5),
        "7" => Ok(7),
        _ => Err("expected 1, 3, 5 or 7".into()),
    }
}

impl NetOptions {
    /// Checks that the net is one for the program, and its settings.
    pub fn check(&self, program: Program) -> Result<(), Failure> {
        let (net, own) = (self.kind.name(), program.name());
        match (self.kind.labeled(), program.labeled()) {
            (Labeled::Images, Labeled::Pixels) => Err(Failure::Usage(format!(
                "--net {net} labels images, and `{own}` labels pixels: use --net base, --net unet or --net residual"
            ))),
            (Labeled::Pixels, Labeled::Images) => {
                Err(Failure::Usage(format!("--net {net} labels pixels, for `colorize`; `{own}` labels images")))
            }
            _ => self.check_settings(),
        }
    }

    /// Checks that a flag is given only with a net that has this setting.
    fn check_settings(&self) -> Result<(), Failure> {
        let settings: [(&str, bool, &[NetKind]); 7] = [
            ("--kernel", self.kernel.is_some(), &[NetKind::Small, NetKind::Base, NetKind::Unet, NetKind::Residual]),
            ("--nf", self.nf.is_some(), &[NetKind::Base, NetKind::Unet, NetKind::Residual]),
            ("--channels", self.channels.is_some(), &[NetKind::Small]),
            ("--activation", self.activation.is_some(), &[NetKind::Small, NetKind::Report]),
            ("--conv-activation", self.conv_activation.is_some(), &[NetKind::Small, NetKind::Report]),
            ("--dropout", self.dropout.is_some(), &[NetKind::Small, NetKind::Report, NetKind::Blocks]),
            ("--widths", self.widths.is_some(), &[NetKind::Blocks, NetKind::Fast]),
        ];
        for (flag, given, nets) in settings {
            if given && !nets.contains(&self.kind) {
                let nets: Vec<String> = nets.iter().map(|net| format!("`--net {}`", net.name())).collect();
                return Err(Failure::Usage(format!(
                    "{flag} is a setting of {}; the {} net does not have it",
                    nets.join(" and "),
                    self.kind.name()
                )));
            }
        }
        Ok(())
    }

    /// The net for images of `[channels, height, width]` with `outputs` logits, with random weights. Whether it accepts images of that size
    /// is for the caller to check, by its `output_shape`.
    ///
    /// # Errors
    /// If a flag does not belong to the net, or its weights do not fit into memory.
    pub fn build(
        &self,
        image: [usize; 3],
        outputs: usize,
        seed: u64,
        limit: Limit,
    ) -> Result<Box<dyn Module>, Failure> {
        self.check_settings()?;
        let rng = &mut Rng::seed(seed);
        let activation = self.activation.unwrap_or(Activation::Relu);
        let conv_activation = self.conv_activation.unwrap_or(activation);
        Ok(match self.kind {
            NetKind::Small => {
                let defaults = SmallOptions::default();
                let settings = SmallOptions {
                    channels: self.channels.unwrap_or(defaults.channels),
                    kernel: self.kernel.unwrap_or(defaults.kernel),
                    conv_activation,
                    activation,
                    dropout: self.dropout.unwrap_or(defaults.dropout),
                };
                let weights = settings.parameter_count(image, outputs);
                let bytes = weights * size_of::<f32>() as f64;
                memory::require(limit, &format!("a net of {weights:.0} weights"), bytes, "use fewer --channels")?;
                Box::new(Small::new(image, outputs, settings, rng))
            }
            NetKind::Report => {
                let dropout = self.dropout.unwrap_or(ReportOptions::default().dropout);
                let settings = ReportOptions { conv_activation, activation, dropout };
                // Its first linear layer has most of the weights; each block halves the image, and pads it.
                let inputs = image[1..].iter().map(|&side| side as f64 / 8.0 + 2.0).product::<f64>() * 160.0;
                let bytes = inputs * 1024.0 * size_of::<f32>() as f64;
                memory::require(limit, "the report net for these images", bytes, "use smaller images")?;
                let net = nets::report(image, outputs, settings, rng);
                Box::new(net.map_err(|error| refused(image, &error))?)
            }
            NetKind::Blocks => {
                let defaults = BlocksOptions::default();
                let (widths, dropout) =
                    (self.widths.unwrap_or(defaults.widths), self.dropout.unwrap_or(defaults.dropout));
                require_blocks(image[0], widths, limit)?;
                let net = nets::blocks(image, outputs, BlocksOptions { widths, dropout }, rng);
                Box::new(net.map_err(|error| refused(image, &error))?)
            }
            NetKind::Fast => {
                let widths = self.widths.unwrap_or(Fast::<f32>::WIDTHS);
                require_blocks(24, widths, limit)?;
                Box::new(Fast::new(widths, outputs, rng))
            }
            NetKind::Resnet18 => Box::new(nets::resnet18_cifar(outputs, rng)),
            NetKind::Resnet20 => Box::new(nets::resnet20(outputs, rng)),
            NetKind::Vgg16 => Box::new(nets::vgg16_bn_cifar(outputs, rng)),
            NetKind::TorchvisionResnet18 => Box::new(nets::resnet18(outputs, rng)),
            NetKind::TorchvisionResnet34 => Box::new(nets::resnet34(outputs, rng)),
            NetKind::TorchvisionResnet50 => Box::new(nets::resnet50(outputs, rng)),
            NetKind::TorchvisionVgg11 => Box::new(nets::vgg11(outputs, rng)),
            NetKind::TorchvisionVgg11Bn => Box::new(nets::vgg11_bn(outputs, rng)),
            NetKind::TorchvisionVgg16 => Box::new(nets::vgg16(outputs, rng)),
            NetKind::TorchvisionVgg16Bn => Box::new(nets::vgg16_bn(outputs, rng)),
            NetKind::Base => Box::new(nets::colorize_base(self.colorize(outputs, limit)?, rng)),
            NetKind::Unet => Box::new(UNet::new(self.colorize(outputs, limit)?, rng)),
            NetKind::Residual => Box::new(nets::colorize_residual(self.colorize(outputs, limit)?, rng)),
        })
    }

    /// The settings of a net that colorizes, whose weights fit into memory.
    fn colorize(&self, colors: usize, limit: Limit) -> Result<ColorizeOptions, Failure> {
        let defaults = ColorizeOptions::default();
        let nf = self.nf.map_or(defaults.nf, usize::from);
        let settings = ColorizeOptions { nf, kernel: self.kernel.unwrap_or(defaults.kernel), colors };
        // The residual net has the most weights: about 20·NF² and 2·NF·colors + 3·colors² for each element of a kernel.
        let (nf, colors) = (nf as f64, colors as f64);
        let weights =
            (settings.kernel * settings.kernel) as f64 * (20.0 * nf * nf + 2.0 * nf * colors + 3.0 * colors * colors);
        let bytes = weights * size_of::<f32>() as f64;
        memory::require(limit, &format!("a net of up to {weights:.0} weights"), bytes, "use a smaller --nf")?;
        Ok(settings)
    }
}

/// Checks that the weights of three blocks of two 3×3 convolutions fit into memory.
fn require_blocks(inputs: usize, widths: [usize; 3], limit: Limit) -> Result<(), Failure> {
    let [from, a, b, c] = [inputs, widths[0], widths[1], widths[2]].map(|channels| channels as f64);
    let weights = 9.0 * (from * a + a * a + a * b + b * b + b * c + c * c);
    memory::require(
        limit,
        &format!("a net of {weights:.0} weights"),
        weights * size_of::<f32>() as f64,
        "use smaller --widths",
    )
}

/// Checks that a net takes images of `[channels, height, width]` to `outputs` logits for each image or pixel, before computing
/// anything.
pub fn check_shapes(net: &dyn Module, image: [usize; 3], outputs: usize, labeled: Labeled) -> Result<(), Failure> {
    let [c, h, w] = image;
    // Two, because batch normalization in training needs more than one element of each channel.
    let out = net.output_shape(Shape::from([2, c, h, w])).map_err(|error| refused(image, &error))?;
    let needed = match labeled {
        Labeled::Images => Shape::from([2, outputs]),
        Labeled::Pixels => Shape::from([2, outputs, h, w]),
    };
    if out == needed {
        return Ok(());
    }
    let text = match labeled {
        Labeled::Images => format!("{outputs} outputs are needed"),
        Labeled::Pixels => format!("{needed} is needed; use images whose sides are multiples of 4"),
    };
    Err(Failure::Usage(format!("the output of the net is {out} for two images, but {text}")))
}

/// The failure of a net that does not accept images of `[channels, height, width]`.
pub fn refused([c, h, w]: [usize; 3], error: &ShapeError) -> Failure {
    Failure::Usage(format!("the net does not accept images of {c}×{h}×{w}\n{error}"))
}

/// Sets the fixed first convolution of the fast net by the first training images.
pub fn whiten(net: &dyn Module, train: &Images, normalize: Normalize) {
    const IMAGES: usize = 5000;
    let images = train.slice(0..IMAGES.min(train.len()));
    let count = images.len();
    let batch = Loader::new(images, count).normalize(normalize).epoch(0).next().expect("there is one batch");
    let weight = net.named_parameters().into_iter().find(|(name, _)| name == "whitening.weight");
    weight.expect("the fast net has it").1.set(&nets::whitening_filters(&batch.images));
}
