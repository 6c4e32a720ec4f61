//! Sheets of pictures with captions, as PNG.

use std::path::Path;

use kuva::backend::png::PngBackend;
use kuva::render::color::Color;
use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::colorized;
use super::examples::FOLDER;
use super::files::{self, Records};
use super::records::{Colorized, Example, Tiles};
use crate::failure::Failure;

const COLUMNS: usize = 8;
/// The side of an image in a sheet, and the room below it for two lines.
const SIDE: f64 = 96.0;
const CAPTION: f64 = 34.0;
const GAP: f64 = 14.0;
/// Between the tiles of a block.
const BETWEEN: f64 = 3.0;
const FONT: u32 = 11;
const RIGHT: Color = Color::Rgb(26, 127, 55);
const WRONG: Color = Color::Rgb(180, 35, 24);
const TEXT: Color = Color::Rgb(29, 36, 48);
const FAINT: Color = Color::Rgb(95, 107, 124);

/// Writes the sheets for which there are pictures.
pub fn write(to: &Path, run: &Path, records: &Records) -> Result<(), Failure> {
    let Some(examples) = &records.examples else { return Ok(()) };
    files::create_folder(to)?;
    let [_, height, width] = records.config.data.image;
    let picture = |name: &str| Picture::read(&run.join(FOLDER).join(name));
    if let Some(colorized) = &examples.colorized {
        let all = picture(colorized::FILE)?;
        save(&colorized_sheet(&all, colorized, [height, width]), &to.join("colorized.png"))?;
    } else {
        let all = picture("images.png")?;
        let image = |k: usize| {
            let corner = [k / examples.columns * height, k % examples.columns * width];
            (all.part(corner, [height, width]), caption(&examples.images[k], &records.config.data.classes))
        };
        let first: Vec<_> = (0..examples.images.len().min(40)).map(image).collect();
        save(&sheet("The first test images", &first), &to.join("samples.png"))?;
        let worst: Vec<_> = examples.worst.iter().map(|&k| image(k)).collect();
        if !worst.is_empty() {
            save(&sheet("The mistakes with the largest loss", &worst), &to.join("worst-mistakes.png"))?;
        }
    }
    for (k, (_, blocks)) in examples.maps.iter().enumerate() {
        let scene = blocks_sheet(&picture(&format!("maps-{k}.png"))?, blocks, 40.0);
        save(&scene, &to.join(format!("feature-maps-{k}.png")))?;
    }
    if !examples.filters.is_empty() {
        save(&blocks_sheet(&picture("filters.png")?, &examples.filters, 30.0), &to.join("filters.png"))?;
    }
    Ok(())
}

fn save(scene: &Scene, path: &Path) -> Result<(), Failure> {
    files::write(path, &PngBackend::new().with_scale(2.0).render_scene(scene).map_err(Failure::Run)?)
}

/// The true and the predicted class with its probability.
fn caption(example: &Example, classes: &[String]) -> (String, String, Color) {
    let (predicted, probability) = example.top[0];
    let [label, said] = [example.label, predicted].map(|class| classes[usize::from(class)].as_str());
    let second = probability.map_or_else(|| said.to_owned(), |share| format!("{said}: {:.0} %", 100.0 * share));
    (label.to_owned(), second, if example.label == predicted { RIGHT } else { WRONG })
}

fn text(x: f64, y: f64, content: &str, anchor: TextAnchor, [size, bold]: [u32; 2], color: Color) -> Primitive {
    Primitive::Text { x, y, content: content.into(), size, anchor, rotate: None, bold: bold > 0, color: Some(color) }
}

/// Images with their captions: the true class, and below it the predicted one.
fn sheet(title: &str, images: &[(Part, (String, String, Color))]) -> Scene {
    let rows = images.len().div_ceil(COLUMNS);
    let (cell, line) = (SIDE + GAP, SIDE + CAPTION + GAP);
    let top = 52.0;
    let mut scene = Scene::new(COLUMNS as f64 * cell + GAP, top + rows as f64 * line + GAP);
    scene.elements.push(text(GAP, 24.0, title, TextAnchor::Start, [16, 1], TEXT));
    let how = "above: the true class; below: the predicted class and its probability";
    scene.elements.push(text(GAP, 42.0, how, TextAnchor::Start, [12, 0], FAINT));
    for (k, (part, (label, said, color))) in images.iter().enumerate() {
        let (x, y) = (GAP + (k % COLUMNS) as f64 * cell, top + (k / COLUMNS) as f64 * line);
        // A whole number of pixels, so that no seams show; an image of more pixels than that is made smaller.
        let scale = SIDE / part.size[0].max(part.size[1]) as f64;
        let scale = if scale > 1.0 { scale.floor() } else { scale };
        let center = x + SIDE / 2.0;
        let [height, width] = part.size.map(|side| side as f64 * scale);
        scene.elements.push(part.at([(center - width / 2.0).round(), y + (SIDE - height).round()], scale));
        scene.elements.push(text(center, y + SIDE + 13.0, label, TextAnchor::Middle, [FONT, 0], TEXT));
        scene.elements.push(text(center, y + SIDE + 27.0, said, TextAnchor::Middle, [FONT, 1], color.clone()));
    }
    scene
}

/// Test images: in gray, in their colors, and as the net colors them; some of them beside each other.
fn colorized_sheet(all: &Picture, colorized: &Colorized, size: [usize; 2]) -> Scene {
    const BESIDE: usize = 3;
    const TOP: f64 = 76.0;
    let scale = (SIDE / size[0].max(size[1]) as f64).floor().max(1.0);
    let [height, width] = size.map(|side| side as f64 * scale);
    let panels = colorized.panels.len();
    let (cell, group, line) = (width + GAP, panels as f64 * (width + GAP) + GAP, height + CAPTION);
    let rows = colorized.images.len().div_ceil(BESIDE);
    let mut scene = Scene::new(GAP + BESIDE as f64 * group, TOP + rows as f64 * line);
    scene.elements.push(text(GAP, 24.0, "Test images and their colors", TextAnchor::Start, [16, 1], TEXT));
    let how = format!("annealed means at temperature {}", colorized.temperature);
    scene.elements.push(text(GAP, 42.0, &how, TextAnchor::Start, [12, 0], FAINT));
    for (k, name) in (0..BESIDE).flat_map(|_| &colorized.panels).enumerate() {
        let x = GAP + (k / panels) as f64 * group + (k % panels) as f64 * cell;
        scene.elements.push(text(x, TOP - 8.0, name, TextAnchor::Start, [FONT, 1], TEXT));
    }
    for (k, image) in colorized.images.iter().enumerate() {
        let (x, y) = (GAP + (k % BESIDE) as f64 * group, TOP + (k / BESIDE) as f64 * line);
        for column in 0..panels {
            let part = all.part([k * size[0], column * size[1]], size);
            scene.elements.push(part.at([x + column as f64 * cell, y], scale));
        }
        let (index, loss, accuracy) = (image.index, image.loss, 100.0 * image.accuracy);
        let said = format!("test image {index}: {accuracy:.0} % of the pixels are right, loss {loss:.2}");
        scene.elements.push(text(x, y + height + 15.0, &said, TextAnchor::Start, [FONT, 0], TEXT));
    }
    scene
}

/// Blocks of tiles, each under its name.
fn blocks_sheet(picture: &Picture, blocks: &[Tiles], side: f64) -> Scene {
    let mut elements = Vec::new();
    let (mut width, mut y) = (320.0_f64, GAP);
    for block in blocks {
        // A row of outputs is a single tile.
        let flat = block.shown == 1 && block.total > 1;
        let scale = if flat { 10.0 } else { (side / block.height.max(block.width) as f64).round().max(1.0) };
        let count = if flat {
            format!("{} outputs", block.total)
        } else {
            format!("{} of {}, each {}×{}", block.shown, block.total, block.height, block.width)
        };
        let name = format!("{}: {count}, {:.3} to {:.3}", block.name, block.low, block.high);
        elements.push(text(GAP, y + 12.0, &name, TextAnchor::Start, [12, 0], TEXT));
        let (cell, line) = (block.width as f64 * scale + BETWEEN, block.height as f64 * scale + BETWEEN);
        for k in 0..block.shown {
            let (i, j) = (k / block.columns, k % block.columns);
            let corner = [block.top + i * (block.height + 1), j * (block.width + 1)];
            let tile = picture.part(corner, [block.height, block.width]);
            elements.push(tile.at([GAP + j as f64 * cell, y + 20.0 + i as f64 * line], scale));
        }
        width = width.max(2.0 * GAP + block.columns as f64 * cell);
        y += 20.0 + block.shown.div_ceil(block.columns) as f64 * line + GAP;
    }
    let mut scene = Scene::new(width, y);
    scene.elements = elements;
    scene
}

/// A decoded picture of the run's folder.
struct Picture {
    width: usize,
    pixels: Vec<[u8; 3]>,
}

/// A part of a picture: `[height, width]` and its pixels.
struct Part {
    size: [usize; 2],
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    fn read(path: &Path) -> Result<Self, Failure> {
        let damaged = |why: &dyn std::fmt::Display| Failure::Run(format!("{} is damaged: {why}", path.display()));
        let bytes = files::read(path)?.ok_or_else(|| damaged(&"it is missing"))?;
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().map_err(|why| damaged(&why))?;
        let size = reader.output_buffer_size().ok_or_else(|| damaged(&"it is too large"))?;
        let mut buffer = vec![0; size];
        let info = reader.next_frame(&mut buffer).map_err(|why| damaged(&why))?;
        let pixels = match info.color_type {
            png::ColorType::Grayscale => buffer.iter().map(|&gray| [gray; 3]).collect(),
            _ => buffer.chunks_exact(3).map(|rgb| [rgb[0], rgb[1], rgb[2]]).collect(),
        };
        Ok(Self { width: info.width as usize, pixels })
    }

    fn part(&self, [top, left]: [usize; 2], size: [usize; 2]) -> Part {
        // The picture is as wide as its widest block.
        let at = |i: usize, j: usize| self.pixels.get((top + i) * self.width + left + j).copied().unwrap_or_default();
        let pixels = (0..size[0]).flat_map(|i| (0..size[1]).map(move |j| (i, j))).map(|(i, j)| at(i, j)).collect();
        Part { size, pixels }
    }
}

impl Part {
    /// The pixels as squares.
    fn at(&self, [left, top]: [f64; 2], scale: f64) -> Primitive {
        let columns = self.size[1];
        let place = |k: usize| (left + (k % columns) as f64 * scale, top + (k / columns) as f64 * scale);
        let (x, y) = (0..self.pixels.len()).map(place).unzip();
        let sides = || vec![scale; self.pixels.len()];
        let fills = self.pixels.iter().map(|&[r, g, b]| Color::Rgb(r, g, b)).collect();
        Primitive::RectBatch { x, y, w: sides(), h: sides(), fills }
    }
}
