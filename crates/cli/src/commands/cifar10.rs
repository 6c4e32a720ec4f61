//! Trains a CNN on CIFAR-10.

use chainrule::data::{RandomCrop, RandomHorizontalFlip, Transform, cifar10};
use chainrule::prelude::*;
use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::training::options::Options;
use crate::training::report;
use crate::training::small_cnn::SmallCnn;
use crate::training::train::{Task, train};

/// Trains a CNN on the images of CIFAR-10
#[derive(Args)]
pub struct Arguments {
    /// The net: `small` is the one of `chainrule mnist`, `report` is deeper and uses batch normalization
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
    Small,
    Report,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Augment {
    None,
    CropFlip,
}

pub fn run(Arguments { net, augment, options }: &Arguments) -> Result<(), Failure> {
    if *net == NetKind::Report && (options.kernel != 3 || options.channels.0 != [8, 16]) {
        let text = "--kernel and --channels are settings of `--net small`; the report net has its own";
        return Err(Failure::Usage(text.into()));
    }
    let device = options.compute.prepare()?;
    let dataset = cifar10::load(options.data_dir.as_deref(), options.offline, &mut report::download)?;
    let (shape, classes) = (dataset.train().image_shape(), dataset.train().classes().len());
    let model: Box<dyn Module> = match net {
        NetKind::Small => Box::new(SmallCnn::new(options, shape, classes)?),
        NetKind::Report => Box::new(report_net(options, shape, classes)?),
    };
    let transforms: Vec<Box<dyn Transform>> = match augment {
        Augment::None => Vec::new(),
        Augment::CropFlip => vec![Box::new(RandomCrop::padded(4)), Box::new(RandomHorizontalFlip)],
    };
    let settings =
        vec![("--net", format!("{net:?}").to_lowercase()), ("--augment", format!("{augment:?}").to_lowercase())];
    train(Task { program: "cifar10", net: &*model, dataset, augment: transforms, settings }, options, device)
}

/// Six convolutions in three blocks, each of which halves the image, then three linear layers. Dropout is 0.1
/// unless the options say otherwise.
fn report_net(options: &Options, [channels, height, width]: [usize; 3], classes: usize) -> Result<Sequential, Failure> {
    let mut rng = Rng::seed(options.seed);
    let p = options.dropout.unwrap_or(0.1);
    let (act, conv_act) = (options.activation, options.conv_activation());
    let mut net = Sequential::new();
    for (block, (from, middle, to)) in [(channels, 6, 10), (10, 20, 40), (40, 80, 160)].into_iter().enumerate() {
        let [first, second] = [[1, 1], [1, 2], [2, 2]][block];
        net = net
            .add(Conv2d::builder(from, middle, 3).padding(first).build(&mut rng))
            .add(BatchNorm2d::new(middle))
            .add(conv_act)
            .add(Conv2d::builder(middle, to, 3).padding(second).build(&mut rng))
            .add(conv_act)
            .add(MaxPool2d::new(2));
        if block > 0 {
            net = net.add(Dropout::new(p, &mut rng));
        }
    }
    net = net.add(Flatten);
    // Two, because batch normalization in training needs more than one element of each channel.
    let images = Shape::from([2, channels, height, width]);
    let features = net.output_shape(images).map_err(|error| Failure::Usage(error.to_string()))?[1];
    let net = net
        .add(Linear::new(features, 1024, &mut rng))
        .add(act)
        .add(Linear::new(1024, 128, &mut rng))
        .add(act)
        .add(Dropout::new(p, &mut rng))
        .add(Linear::new(128, classes, &mut rng));
    Ok(net)
}
