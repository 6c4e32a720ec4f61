//! The images of a run: which, and how they are prepared.

use std::path::PathBuf;
use std::sync::Arc;

use chainrule::data::{Dataset, Images, Loader, Normalize, Palette, Resize, Transform};
use clap::{Args, ValueEnum};

use super::augment::Augment;
use super::program::{Labeled, Program};
use crate::failure::Failure;

/// The images and their preparation.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Data")]
pub struct DataOptions {
    #[command(flatten)]
    pub source: Source,
    /// Only these classes, by name or number, separated by commas; `all` is every class
    #[arg(long, visible_alias = "class", value_name = "CLASSES", value_delimiter = ',')]
    classes: Vec<String>,
    /// Colors of the palette of `colorize`, found by k-means in 50 000 pixels of the training images [default: 24]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=256))]
    pub colors: Option<u16>,
    /// Only N images of the training set, chosen by the seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    train_images: Option<u32>,
    /// Add the negative of every image, 255 - x for each pixel, to the training and the test set
    #[arg(long)]
    negatives: bool,
    /// Images of the training set that are held out for validation, chosen by the seed; the best epoch is then chosen on them
    #[arg(long, value_name = "N", default_value_t = 0)]
    validation: u32,
    /// Random changes of the training images
    #[arg(long, value_enum, default_value_t = Augment::None)]
    augment: Augment,
    /// Mix each training image and its target with another of its batch, by weights from the Beta(ALPHA, ALPHA) distribution
    #[arg(long, value_name = "ALPHA", value_parser = mixup)]
    mixup: Option<f64>,
    /// Resize the images to N×N pixels, after their random changes: 224 for torchvision's nets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub size: Option<u32>,
    /// Range of the pixels: -1 to 1; 0 to 1; or mean 0 and standard deviation 1 by the published numbers of the dataset or of ImageNet
    #[arg(long, value_enum, default_value_t = Range::Symmetric)]
    normalize: Range,
    /// Leave out the last batch of an epoch if it is smaller than the others
    #[arg(long)]
    pub drop_last: bool,
    /// Threads that prepare batches beside those that compute
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=64))]
    workers: u32,
}

/// Where the images come from.
#[derive(Args, Clone, Debug)]
pub struct Source {
    /// The dataset: a directory of IDX files for `mnist`; of batch files or of images, or an archive, for `cifar10`
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Never use the network
    #[arg(long)]
    pub offline: bool,
    /// For `cifar10`, `colorize`, `pretrain` and `transfer`: the tenth of CIFAR-10 that is embedded in the program
    #[arg(long, conflicts_with = "data_dir")]
    pub sample: bool,
}

/// The range of the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Range {
    Symmetric,
    Unit,
    Standard,
    Imagenet,
}

fn mixup(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(alpha) if (0.001..=1000.0).contains(&alpha) => Ok(alpha),
        _ => Err("expected a number from 0.001 to 1000, such as 0.2".into()),
    }
}

/// The images of a run.
pub struct Data {
    /// The name of the dataset.
    pub name: String,
    /// Batches for training, shuffled.
    pub train: Loader,
    /// Batches of the images that are held out for validation.
    pub validation: Option<Loader>,
    /// Batches for the test.
    pub test: Loader,
    pub normalize: Normalize,
    /// The names of what labels stand for: classes of images, or colors of pixels.
    pub classes: Vec<String>,
    /// What to say of the dataset.
    pub notes: Vec<String>,
}

/// Colors of a palette by default.
const COLORS: u16 = 24;
/// Images in a batch of an evaluation.
const EVALUATED: usize = 250;

impl DataOptions {
    /// Whether training images are mixed.
    pub fn mixes(&self) -> bool {
        self.mixup.is_some()
    }

    /// Whether an image is not the same in all epochs.
    pub fn varies(&self) -> bool {
        self.augment != Augment::None || self.mixes()
    }

    /// What is done to every image, in a text.
    pub fn preparation(&self) -> String {
        format!("{:?} {:?}", self.size, self.normalize)
    }

    /// The images of a run, with `batch_size` in each batch. `palette` has the colors of a saved run that labels pixels; a new
    /// one finds its own.
    pub fn load(
        &self,
        program: Program,
        batch_size: usize,
        seed: u64,
        palette: Option<Palette>,
    ) -> Result<Data, Failure> {
        let dataset = self.chosen(self.dataset(program)?, program, seed)?;
        let name = dataset.name().to_owned();
        let (notes, classes) = (dataset.notes().to_vec(), dataset.train().classes().to_vec());
        let (train, test) = dataset.into_parts();
        let (train, validation) = self.split(train, seed)?;
        if self.drop_last && batch_size > train.len() {
            return Err(Failure::Usage(format!(
                "--drop-last leaves no batch: --batch-size is {batch_size}, and there are {} training images",
                train.len()
            )));
        }
        let labels_pixels = program.labeled() == Labeled::Pixels;
        let normalize = self.normalize(program, if labels_pixels { 1 } else { train.image_shape()[0] })?;
        let palette = match palette.filter(|_| labels_pixels) {
            None if labels_pixels => Some(Palette::of(&train, usize::from(self.colors.unwrap_or(COLORS)), seed)?),
            saved => saved,
        };
        let palette = palette.map(Arc::new);
        let classes = palette.as_ref().map_or(classes, |palette| palette.names());
        let prepared = |loader: Loader| match &palette {
            Some(palette) => loader.colorize(Arc::clone(palette)).normalize(normalize.clone()),
            None => loader.normalize(normalize.clone()),
        };
        let resize = || self.size.map(|side| Box::new(Resize::new([side as usize; 2])) as Box<dyn Transform>);
        let evaluated = |images: Images| {
            prepared(Loader::new(images, EVALUATED).prefetch(1)).transforms(resize().into_iter().collect())
        };
        let transforms = self.augment.transforms(program).into_iter().chain(resize());
        let train = Loader::new(train, batch_size).shuffle(seed).transforms(transforms.collect());
        let train = prepared(train.drop_last(self.drop_last).prefetch(self.workers as usize));
        let train = if let Some(alpha) = self.mixup { train.mixup(alpha) } else { train };
        let validation = validation.map(evaluated);
        let test = evaluated(test);
        Ok(Data { name, train, validation, test, normalize, classes, notes })
    }

    fn dataset(&self, program: Program) -> Result<Dataset, Failure> {
        match (self.source.sample, program) {
            (false, _) => Ok(program.dataset(self.source.data_dir.as_deref(), self.source.offline)?),
            (true, program) if program.is_cifar10() => Ok(chainrule_cifar_sample::dataset()),
            (true, _) => Err(Failure::Usage(format!(
                "--sample: it is a part of CIFAR-10, and `{}` is trained on another dataset",
                program.name()
            ))),
        }
    }

    /// The images that the flags ask for.
    fn chosen(&self, mut dataset: Dataset, program: Program, seed: u64) -> Result<Dataset, Failure> {
        let all = dataset.train().classes().len();
        if program == Program::Pretrain && self.classes.is_empty() && all == 10 {
            // The other half is for the training that goes on from these weights.
            dataset = dataset.map(|images| images.only_classes(&[0, 1, 2, 3, 4]))?;
            let names = dataset.train().classes().join(", ");
            dataset = dataset.with_note(format!("half of the classes: {names}"));
        } else if !self.classes.is_empty() && self.classes != ["all"] {
            let all = dataset.train().classes();
            let number = |class: &String| {
                let named = all.iter().position(|name| name == class);
                let found = named.or_else(|| class.parse().ok().filter(|&number| number < all.len()));
                found.map(|number| number as u8).ok_or_else(|| {
                    Failure::Usage(format!("--classes: there is no class {class}; the classes are {}", all.join(", ")))
                })
            };
            let classes = self.classes.iter().map(number).collect::<Result<Vec<u8>, Failure>>()?;
            dataset = dataset.map(|images| images.only_classes(&classes))?;
        }
        if let Some(n) = self.train_images.map(|n| n as usize).filter(|&n| n < dataset.train().len()) {
            let (notes, name) = (dataset.notes().to_vec(), dataset.name().to_owned());
            let (train, test) = dataset.into_parts();
            // Not the first: a folder of images is sorted by class.
            let (_, train) = train.split(n, seed);
            dataset = notes.into_iter().fold(Dataset::new(name, train, test)?, Dataset::with_note);
        }
        if self.negatives {
            dataset = dataset.map(|images| images.concat(&images.inverted()))?;
        }
        Ok(dataset)
    }

    fn split(&self, train: Images, seed: u64) -> Result<(Images, Option<Images>), Failure> {
        match self.validation as usize {
            0 => Ok((train, None)),
            n if n < train.len() => {
                let (train, validation) = train.split(n, seed);
                Ok((train, Some(validation)))
            }
            n => Err(Failure::Usage(format!(
                "--validation {n}: the training set has {} images, and at least one must be left for training",
                train.len()
            ))),
        }
    }

    /// The normalization of images with this many channels.
    ///
    /// # Errors
    /// If the dataset's published numbers are for another number of channels.
    pub fn normalize(&self, program: Program, channels: usize) -> Result<Normalize, Failure> {
        Ok(match self.normalize {
            Range::Symmetric => Normalize::to_symmetric(),
            Range::Unit => Normalize::to_unit(),
            Range::Standard => {
                let normalize = program.standardize();
                check_channels("standard", &normalize, &format!("the numbers of `{}`", program.name()), channels)?;
                normalize
            }
            Range::Imagenet => {
                let normalize = Normalize::new(&[(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]);
                check_channels("imagenet", &normalize, "ImageNet's numbers", channels)?;
                normalize
            }
        })
    }
}

/// Checks that published numbers are for images with so many channels.
fn check_channels(range: &str, normalize: &Normalize, numbers: &str, channels: usize) -> Result<(), Failure> {
    match normalize.channels() {
        Some(published) if published != channels => Err(Failure::Usage(format!(
            "--normalize {range}: {numbers} are for {published} channels, and these images have {channels}"
        ))),
        _ => Ok(()),
    }
}
