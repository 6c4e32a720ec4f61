//! Pictures of many small ones: feature maps, filters, images of a dataset.

use chainrule::data::Images;

use super::records::Tiles;
use crate::failure::Failure;

/// A picture in RGB that grows downwards.
#[derive(Default)]
pub struct Canvas {
    width: usize,
    rows: Vec<Vec<[u8; 3]>>,
}

/// What does not belong to a picture.
const EMPTY: [u8; 3] = [128, 128, 128];

/// How the numbers of a tile become colors.
pub enum Colors {
    /// From black for the smallest number of all tiles to white for the largest.
    Gray,
    /// Blue for negative numbers, white for 0, red for positive ones; the largest magnitude of all tiles is the deepest.
    Diverging,
    /// Three planes, red, green and blue: middle gray is 0.
    Rgb,
}

impl Canvas {
    /// Adds a block of tiles of `[height, width]`, one after another; `total` is how many there are in the net.
    pub fn add(
        &mut self,
        name: &str,
        total: usize,
        tiles: &[Vec<f32>],
        [height, width]: [usize; 2],
        columns: usize,
        colors: &Colors,
    ) -> Tiles {
        let finite = || tiles.iter().flatten().copied().filter(|x| x.is_finite());
        let (mut low, mut high) = (finite().fold(f32::INFINITY, f32::min), finite().fold(f32::NEG_INFINITY, f32::max));
        if !matches!(colors, Colors::Gray) {
            let most = low.abs().max(high.abs());
            (low, high) = (-most, most);
        }
        let columns = columns.min(tiles.len()).max(1);
        let top = self.rows.len();
        self.width = self.width.max(columns * (width + 1));
        let lines = tiles.len().div_ceil(columns) * (height + 1);
        self.rows.resize(top + lines, Vec::new());
        for row in &mut self.rows[top..] {
            row.resize(columns * (width + 1), EMPTY);
        }
        let level = |x: f32| if high > low { (x - low) / (high - low) } else { 0.5 };
        for (k, tile) in tiles.iter().enumerate() {
            let (y, x) = (top + k / columns * (height + 1), k % columns * (width + 1));
            for (i, j) in (0..height).flat_map(|i| (0..width).map(move |j| (i, j))) {
                // Elements after the last are left out: a row of outputs is broken into lines.
                let Some(&value) = tile.get(i * width + j) else { continue };
                self.rows[y + i][x + j] = match colors {
                    Colors::Gray => [(255.0 * level(value)) as u8; 3],
                    Colors::Diverging => diverging(2.0 * level(value) - 1.0),
                    Colors::Rgb => [0, 1, 2].map(|c| (255.0 * level(tile[(c * height + i) * width + j])) as u8),
                };
            }
        }
        Tiles { name: name.to_owned(), total, shown: tiles.len(), height, width, columns, top, low, high }
    }

    /// The picture as PNG.
    pub fn png(&self) -> Result<Vec<u8>, Failure> {
        let mut pixels = Vec::with_capacity(3 * self.width * self.rows.len());
        for row in &self.rows {
            pixels.extend(row.iter().flatten());
            pixels.extend(EMPTY.iter().cycle().take(3 * (self.width - row.len())));
        }
        encode(&pixels, [self.rows.len(), self.width], true)
    }
}

/// From blue at −1 over white to red at 1 (the ends of ColorBrewer's RdBu).
fn diverging(x: f32) -> [u8; 3] {
    let end = if x < 0.0 { [5.0, 48.0, 97.0] } else { [178.0, 24.0, 43.0] };
    end.map(|end: f32| (255.0 + (end - 255.0) * x.abs().min(1.0)) as u8)
}

/// Images of a dataset, in a grid without gaps.
pub fn grid(images: &Images, indices: &[usize], columns: usize) -> Result<Vec<u8>, Failure> {
    let [channels, height, width] = images.image_shape();
    let rows = indices.len().div_ceil(columns);
    let (size, row) = (height * width, columns * width);
    let color = channels == 3;
    let planes = if color { 3 } else { 1 };
    let mut pixels = vec![0; rows * height * row * planes];
    for (k, &index) in indices.iter().enumerate() {
        let image = images.image(index);
        for (i, j, c) in (0..height).flat_map(|i| (0..width).flat_map(move |j| (0..planes).map(move |c| (i, j, c)))) {
            let (y, x) = (k / columns * height + i, k % columns * width + j);
            pixels[(y * row + x) * planes + c] = image[c * size + i * width + j];
        }
    }
    encode(&pixels, [rows * height, row], color)
}

fn encode(pixels: &[u8], [height, width]: [usize; 2], color: bool) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(if color { png::ColorType::Rgb } else { png::ColorType::Grayscale });
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}
