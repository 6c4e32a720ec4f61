//! Prints what a net computes: operations, shapes, parameters, multiply-adds, memory.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use chainrule::nn::Summary;
use clap::Args;

use crate::failure::Failure;
use crate::training::memory::Limit;
use crate::training::net::{NetKind, NetOptions, refused};

/// Prints the operations of a net with output shapes, parameters, multiply-adds and memory
#[derive(Args)]
pub struct Arguments {
    /// An ONNX file, in place of a net of the library (in a build with `--features onnx`)
    #[arg(value_name = "FILE", conflicts_with_all = ["NetOptions", "classes"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    net: NetOptions,
    /// Channels, height and width of the images [default: 3,32,32; for torchvision's nets 3,224,224; for those of `colorize` 1,32,32]
    #[arg(long, value_name = "C,H,W")]
    input: Option<Image>,
    /// The number of classes [default: 10; for torchvision's nets 1000; for those of `colorize` 24 colors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    classes: Option<u32>,
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

pub fn run(Arguments { file, net, input, classes }: &Arguments) -> Result<(), Failure> {
    if let Some(file) = file {
        return of_file(file, *input);
    }
    let (default_image, default_classes) = match net.kind {
        NetKind::Base | NetKind::Unet | NetKind::Residual => ([1, 32, 32], 24),
        kind if kind.is_of_torchvision() => ([3, 224, 224], 1000),
        _ => ([3, 32, 32], 10),
    };
    let Image(image) = input.unwrap_or(Image(default_image));
    let classes = classes.unwrap_or(default_classes) as usize;
    let model = net.build(image, classes, 0, Limit(None))?;
    let [c, h, w] = image;
    println!("{}", Summary::of(&*model, [1, c, h, w]).map_err(|error| refused(image, &error))?);
    Ok(())
}

/// The summary of an ONNX file, for the images that it declares or the given ones.
#[cfg(feature = "onnx")]
fn of_file(file: &Path, input: Option<Image>) -> Result<(), Failure> {
    use chainrule::onnx::{OnnxError, OnnxModel};
    let model = OnnxModel::read(file).map_err(|error| match error {
        OnnxError::Read { .. } => Failure::Run(error.to_string()),
        error => Failure::Input(format!("{}: {error}", file.display())),
    })?;
    let declared = match model.input_axes(0) {
        Some(&[_, Some(c), Some(h), Some(w)]) => Some(Image([c, h, w])),
        _ => None,
    };
    let Image(image) = input.or(declared).ok_or_else(|| {
        Failure::Usage(format!("{} leaves the sizes of its images open; give them by --input C,H,W", file.display()))
    })?;
    let [c, h, w] = image;
    println!("{}", Summary::of(&model, [1, c, h, w]).map_err(|error| refused(image, &error))?);
    Ok(())
}

#[cfg(not(feature = "onnx"))]
fn of_file(file: &Path, _input: Option<Image>) -> Result<(), Failure> {
    Err(Failure::Usage(format!(
        "this program was built without ONNX; from the source: cargo run --release --features onnx -- summary {}",
        file.display()
    )))
}
