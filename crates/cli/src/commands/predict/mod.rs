//! Classifies images of one's own with a saved net.

mod explain;
mod terminal;

use std::path::{Path, PathBuf};

use chainrule::data::{Images, Loader, Normalize, Picture, Prepared};
use chainrule::prelude::*;
use clap::Args;

use crate::compute::ComputeOptions;
use crate::failure::Failure;
use crate::training::program::Program;
use crate::training::saved::SavedNet;

/// Classifies images with the net of a checkpoint: the five most probable classes of each
///
/// An image of any size is prepared as the net's own were, and the program says how.
#[derive(Args)]
pub struct Arguments {
    /// A checkpoint that `--save` has written
    checkpoint: PathBuf,
    /// PNG or JPEG files
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Write pictures of what each decision depends on to this directory: |∂score/∂pixel| (saliency) and Grad-CAM
    #[arg(long, value_name = "DIR")]
    explain: Option<PathBuf>,
    #[command(flatten)]
    compute: ComputeOptions,
}

/// The classes that are printed.
const TOP: usize = 5;

pub fn run(Arguments { checkpoint, images, explain, compute }: &Arguments) -> Result<(), Failure> {
    let device = compute.prepare()?;
    let classifier = Classifier::new(SavedNet::load(checkpoint)?, device)?;
    if let Some(folder) = explain {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::Run(format!("--explain: cannot create {}: {error}", folder.display())))?;
    }
    let mut failed = 0;
    for (i, path) in images.iter().enumerate() {
        // Two files may have the same name.
        let stem = format!("{}-{}", i + 1, path.file_stem().unwrap_or_default().to_string_lossy());
        // The others are still of use.
        match classifier.classify(path, explain.as_ref().map(|folder| folder.join(stem)).as_deref()) {
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
        _ => Err(Failure::Run(format!("{failed} of {} images could not be classified", images.len()))),
    }
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
        terminal::show(&prepared);
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
