//! Classifies images of one's own with a saved net, or colors them.

mod colorize;
mod explain;
mod terminal;

use std::path::{Path, PathBuf};

use chainrule::data::{Images, Loader, Normalize, Picture, Prepared};
use chainrule::prelude::*;
use clap::Args;

use self::colorize::Colorizer;
use crate::compute::ComputeOptions;
use crate::failure::Failure;
use crate::numbers::positive;
use crate::training::options::TEMPERATURE;
use crate::training::program::{Labeled, Program};
use crate::training::saved::SavedNet;

/// Classifies images with the net of a checkpoint: the five most probable classes of each. A net of `colorize` colors them
///
/// An image of any size is prepared as the net's own were, and the program says how.
#[derive(Args)]
pub struct Arguments {
    /// A checkpoint that `--save` has written
    checkpoint: PathBuf,
    /// PNG or JPEG files
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Write pictures of what each decision depends on to this directory: |∂score/∂pixel| (saliency) and Grad-CAM; and their numbers, as .npz files
    #[arg(long, value_name = "DIR")]
    explain: Option<PathBuf>,
    /// For a net of `colorize`: the directory of the colored pictures [default: .]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// For a net of `colorize`: the longer side of the image that the net sees, in pixels; sides are rounded to multiples of 4 [default: as in training]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(4..=1024))]
    side: Option<u16>,
    /// For a net of `colorize`: the temperature of annealed means; near 0 the most probable colors, 1 their mean by the net's probabilities [default: 0.38]
    #[arg(long, value_name = "T", value_parser = positive, allow_negative_numbers = true)]
    temperature: Option<f64>,
    #[command(flatten)]
    compute: ComputeOptions,
}

/// The classes that are printed.
const TOP: usize = 5;

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let device = arguments.compute.prepare()?;
    let saved = SavedNet::load(&arguments.checkpoint)?;
    arguments.check(saved.program)?;
    for (flag, folder) in [("--explain", &arguments.explain), ("--out", &arguments.out)] {
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder)
                .map_err(|error| Failure::Run(format!("{flag}: cannot create {}: {error}", folder.display())))?;
        }
    }
    match saved.program.labeled() {
        Labeled::Images => {
            let classifier = Classifier::new(saved, device)?;
            let explain = &arguments.explain;
            each(&arguments.images, "classified", |path, stem| {
                classifier.classify(path, explain.as_ref().map(|folder| folder.join(stem)).as_deref())
            })
        }
        Labeled::Pixels => {
            let side = arguments.side.map(usize::from);
            let temperature = arguments.temperature.unwrap_or(TEMPERATURE);
            let folder = arguments.out.clone().unwrap_or_default();
            let colorizer = Colorizer::new(saved, device, side, temperature, folder)?;
            each(&arguments.images, "colored", |path, stem| colorizer.colorize(path, stem))
        }
    }
}

impl Arguments {
    /// Checks that a flag is given only with a net that it is for.
    fn check(&self, program: Program) -> Result<(), Failure> {
        let colorize = [self.out.is_some(), self.side.is_some(), self.temperature.is_some()];
        let flag = match program.labeled() {
            Labeled::Images => ["--out", "--side", "--temperature"].into_iter().zip(colorize).find(|(_, given)| *given),
            Labeled::Pixels => Some(("--explain", true)).filter(|_| self.explain.is_some()),
        };
        let Some((flag, _)) = flag else { return Ok(()) };
        Err(Failure::Usage(match program.labeled() {
            Labeled::Images => {
                format!("{flag} is for a net of `colorize`; this one was trained by `{}`", program.name())
            }
            Labeled::Pixels => {
                format!("{flag} is for a net that labels images; this one was trained by `{}`", program.name())
            }
        }))
    }
}

/// Calls `predict` for each file and the start of its files' names, also after one that fails. `done` is what happens to an image.
fn each(images: &[PathBuf], done: &str, predict: impl Fn(&Path, &str) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut failed = 0;
    for (i, path) in images.iter().enumerate() {
        // Two files may have the same name.
        let stem = format!("{}-{}", i + 1, path.file_stem().unwrap_or_default().to_string_lossy());
        // The others are still of use.
        match predict(path, &stem) {
            Ok(()) => {}
            Err(Failure::Run(text)) => {
                eprintln!("error: {text}");
                failed += 1;
            }
            Err(other) => return Err(other),
        }
    }
    match failed {
        0 => Ok(()),
        _ if images.len() == 1 => Err(Failure::Found),
        _ => Err(Failure::Run(format!("{failed} of {} images could not be {done}", images.len()))),
    }
}

/// Writes RGB pixels, row by row, as a PNG file.
fn write_png(path: &Path, pixels: &[u8], [h, w]: [usize; 2]) -> Result<(), Box<dyn std::error::Error>> {
    let mut encoder = png::Encoder::new(std::io::BufWriter::new(std::fs::File::create(path)?), w as u32, h as u32);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    Ok(writer.finish()?)
}

/// A net and the preparation of its images.
struct Classifier {
    saved: SavedNet,
    normalize: Normalize,
    device: Device,
}

impl Classifier {
    fn new(saved: SavedNet, device: Device) -> Result<Self, Failure> {
        let channels = saved.image[0];
        if channels != 1 && channels != 3 {
            return Err(Failure::Run(format!(
                "the net is for images of {channels} channels; an image file has 1, gray, or 3, RGB"
            )));
        }
        let normalize = saved.options.data.normalize(saved.program, channels)?;
        saved.net.to(device);
        Ok(Self { saved, normalize, device })
    }

    /// Prints the prediction for a file. With `pictures`, also writes the pictures that explain it; their names begin so.
    fn classify(&self, path: &Path, pictures: Option<&Path>) -> Result<(), Failure> {
        let picture = Picture::open(path)?;
        let prepared = self.prepare(&picture)?;
        let [_, h, w] = picture.shape();
        println!("{} ({w}×{h} pixels)", path.display());
        for note in prepared.notes() {
            println!("  {note}");
        }
        terminal::show(prepared.pixels(), prepared.shape());
        let [c, h, w] = prepared.shape();
        // The label has no meaning here.
        let images = Images::new(prepared.pixels().to_vec(), [1, c, h, w], vec![0], self.saved.classes.clone())?;
        let loader = Loader::new(images, 1).normalize(self.normalize.clone()).device(self.device);
        let best = self.print(&self.probabilities(&loader));
        if let Some(start) = pictures {
            let batch = loader.epoch(0).next().expect("the loader has one image");
            explain::write(&*self.saved.net, &batch.images, best, &prepared, start)?;
        }
        Ok(())
    }

    /// In the form of the images that the net was trained on.
    fn prepare(&self, picture: &Picture) -> Result<Prepared, Failure> {
        let [channels, h, w] = self.saved.image;
        Ok(match (channels, self.saved.program) {
            (1, Program::FashionMnist) => picture.gray_object([h, w]),
            (1, _) => picture.drawing([h, w])?,
            _ => picture.photograph([h, w]),
        })
    }

    /// The probability of each class; with several views of the image if the run tested its net so.
    fn probabilities(&self, loader: &Loader) -> Vec<f32> {
        let SavedNet { net, objective, options, .. } = &self.saved;
        let logits = options.test.test_views.loaders(loader).into_iter().map(|(weight, view)| {
            let batch = view.epoch(0).next().expect("the loader has one image");
            objective.logits(&**net, &batch.images) * f64::from(weight)
        });
        let logits = no_grad(|| logits.reduce(|sum, logits| sum + logits)).expect("there is at least one view");
        no_grad(|| logits.softmax(1)).value().to_vec()
    }

    /// Prints the most probable classes, and returns the first.
    fn print(&self, probabilities: &[f32]) -> usize {
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        // Stable: of equal ones the first comes first.
        order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        order.truncate(TOP);
        let classes = &self.saved.classes;
        let width = order.iter().map(|&class| classes[class].chars().count()).max().unwrap_or(0);
        for &class in &order {
            let probability = f64::from(probabilities[class]);
            println!("  {:<width$}  {:6.2} %  {}", classes[class], 100.0 * probability, terminal::bar(probability));
        }
        order[0]
    }
}
