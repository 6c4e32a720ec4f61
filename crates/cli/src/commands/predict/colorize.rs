//! Colors pictures of one's own with a saved net of `colorize`.

use std::path::{Path, PathBuf};

use chainrule::data::{Images, Loader, Normalize, Palette, Picture, mean_gray};
use chainrule::prelude::*;

use super::terminal;
use super::write_png;
use crate::failure::Failure;
use crate::training::saved::SavedNet;

/// The least longer side of a picture in the file that compares them.
const SIDE: usize = 224;
/// Pixels between these pictures.
const BETWEEN: usize = 8;

/// A net that colorizes, and what its pictures are.
pub struct Colorizer {
    saved: SavedNet,
    palette: Palette,
    normalize: Normalize,
    device: Device,
    /// The longer side of the images that the net sees.
    side: usize,
    temperature: f64,
    folder: PathBuf,
}

impl Colorizer {
    pub fn new(
        saved: SavedNet,
        device: Device,
        side: Option<usize>,
        temperature: f64,
        folder: PathBuf,
    ) -> Result<Self, Failure> {
        let palette = Palette::from_names(&saved.classes).ok_or_else(|| {
            Failure::Input(format!("the checkpoint has no palette: its classes are {}", saved.classes.join(", ")))
        })?;
        let normalize = saved.options.data.normalize(saved.program, 1)?;
        saved.net.to(device);
        let side = side.unwrap_or(saved.image[1].max(saved.image[2]));
        Ok(Self { saved, palette, normalize, device, side, temperature, folder })
    }

    /// Colors the picture of a file. The names of the files that it writes begin with `stem`.
    pub fn colorize(&self, path: &Path, stem: &str) -> Result<(), Failure> {
        let picture = Picture::open(path)?;
        let [_, h, w] = picture.shape();
        println!("{} ({w}×{h} pixels)", path.display());
        let prepared = picture.photograph(size([h, w], self.side));
        for note in prepared.notes() {
            println!("  {note}");
        }
        let [c, h, w] = prepared.shape();
        let pixels = prepared.pixels();
        // The class has no meaning here.
        let images = Images::new(pixels.to_vec(), [1, c, h, w], vec![0], vec!["picture".into()])?;
        let loader = Loader::new(images, 1).colorize(self.palette.clone()).normalize(self.normalize.clone());
        let batch = loader.device(self.device).epoch(0).next().expect("the loader has one image");
        let logits = no_grad(|| self.saved.net.forward(&Var::constant(&batch.images)));
        let is_gray = pixels[..h * w] == pixels[h * w..2 * h * w] && pixels[..h * w] == pixels[2 * h * w..];
        if !is_gray {
            let right = logits.hits(&batch.labels).item() / (h * w) as f64;
            println!("  {:.2} % of the pixels have their color of the palette", 100.0 * right);
        }
        let logits = logits.value().to_vec();
        let most_probable = self.palette.most_probable(&logits);
        let annealed = self.palette.annealed_mean(&logits, self.temperature);
        terminal::show(&annealed, [c, h, w]);
        let gray = mean_gray(pixels).repeat(3);
        let compared = beside(&[&gray, pixels, &most_probable, &annealed], [h, w]);
        let files = [
            ("colorized", "gray, original, most probable, annealed mean", compared),
            ("most-probable", "the most probable color of each pixel", (interleaved(&most_probable), [h, w])),
            ("annealed", "the annealed mean of each pixel", (interleaved(&annealed), [h, w])),
        ];
        for (name, what, (pixels, size)) in files {
            let path = self.folder.join(format!("{stem}-{name}.png"));
            write_png(&path, &pixels, size)
                .map_err(|error| Failure::Run(format!("--out: cannot write {}: {error}", path.display())))?;
            println!("  {what}: {}", path.display());
        }
        Ok(())
    }
}

/// The size (H, W) with this longer side and about the same aspect ratio, both rounded to multiples of 4: the net halves the
/// sides twice.
fn size([h, w]: [usize; 2], side: usize) -> [usize; 2] {
    let longer = h.max(w) as f64;
    [h, w].map(|own| ((own as f64 / longer * side as f64 / 4.0).round() as usize * 4).max(4))
}

/// Images (3, H, W) beside each other, enlarged; RGB by pixel, and the size of all.
fn beside(images: &[&[u8]], [h, w]: [usize; 2]) -> (Vec<u8>, [usize; 2]) {
    let factor = SIDE.div_ceil(h.max(w));
    let (height, cell) = (h * factor, w * factor + BETWEEN);
    let width = images.len() * cell - BETWEEN;
    let mut pixels = vec![255; 3 * height * width];
    for (k, image) in images.iter().enumerate() {
        for (i, j) in (0..height).flat_map(|i| (0..w * factor).map(move |j| (i, j))) {
            let (from, to) = (i / factor * w + j / factor, i * width + k * cell + j);
            for channel in 0..3 {
                pixels[3 * to + channel] = image[channel * h * w + from];
            }
        }
    }
    (pixels, [height, width])
}

/// An image (3, H, W) as RGB by pixel.
fn interleaved(image: &[u8]) -> Vec<u8> {
    let plane = image.len() / 3;
    (0..plane).flat_map(|at| [0, 1, 2].map(|channel| image[channel * plane + at])).collect()
}
