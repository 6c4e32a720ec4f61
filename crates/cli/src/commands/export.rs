//! Writes the net of a checkpoint as an ONNX file.

use std::path::PathBuf;

use chainrule::data::{Images, Loader};
use chainrule::onnx::export;
use clap::Args;

use crate::failure::Failure;
use crate::training::saved::SavedNet;

/// Writes the net of a checkpoint as an ONNX file, which other programs can run
///
/// The file takes batches of any size, of pixels in the range that is printed. Classes and range are in its metadata.
#[derive(Args)]
pub struct Arguments {
    /// A checkpoint that `--save` has written
    checkpoint: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    onnx: PathBuf,
}

pub fn run(Arguments { checkpoint, onnx }: &Arguments) -> Result<(), Failure> {
    let saved = SavedNet::load(checkpoint)?;
    let [c, h, w] = saved.image;
    let [black, white] = range(&saved)?.map(|levels| {
        let texts: Vec<String> = levels.iter().map(f32::to_string).collect();
        texts.join(", ")
    });
    export(&*saved.net, [1, c, h, w])?
        .metadata("classes", saved.classes.join("\n"))
        .metadata("black", black.clone())
        .metadata("white", white.clone())
        .save(onnx)?;
    println!("{}: images (N, {c}, {h}, {w}), in each channel black is {black} and white {white}", onnx.display());
    println!("  outputs: {}", saved.classes.join(", "));
    Ok(())
}

/// What the net gets in each channel of a black and of a white image.
fn range(saved: &SavedNet) -> Result<[Vec<f32>; 2], Failure> {
    let [c, h, w] = saved.image;
    let normalize = saved.options.data.normalize(saved.program, c)?;
    let pixels = [0, u8::MAX].map(|level| vec![level; c * h * w]).concat();
    // The labels have no meaning here.
    let images = Images::new(pixels, [2, c, h, w], vec![0; 2], saved.classes.clone())?;
    let batch = Loader::new(images, 2).normalize(normalize).epoch(0).next().expect("the loader has two images");
    Ok([0, 1].map(|image| (0..c).map(|channel| batch.images.at(&[image, channel, 0, 0])).collect()))
}
