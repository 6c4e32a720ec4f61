//! Pictures of the inside of a net: feature maps of test images, and filters.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use chainrule::autograd::map_records;
use chainrule::data::Loader;
use chainrule::prelude::*;

use super::files;
use super::outputs::Names;
use super::records::Tiles;
use super::tiles::{Canvas, Colors};
use crate::failure::Failure;

/// Channels of each layer.
const CHANNELS: usize = 16;
/// The side of the square of filters that is shown of a convolution with several inputs.
const FILTERS: usize = 8;
/// Outputs of a linear layer in a row of a picture.
const OUTPUTS_IN_A_ROW: usize = 32;

/// What the pictures show.
pub struct InsideOfNet {
    /// Of each picture of feature maps, `maps-0.png`, `maps-1.png` and so on: the position of the image, and the outputs.
    pub maps: Vec<(usize, Vec<Tiles>)>,
    /// The convolutions in `filters.png`.
    pub filters: Vec<Tiles>,
}

impl InsideOfNet {
    /// Writes the feature maps of some test images, given by position and index, and the filters.
    pub fn save(
        folder: &Path,
        net: &dyn Module,
        test: &Loader,
        images: impl IntoIterator<Item = (usize, usize)>,
    ) -> Result<Self, Failure> {
        let mut maps = Vec::new();
        for (position, index) in images {
            let (canvas, blocks) = feature_maps(net, test, index);
            files::write(&folder.join(format!("maps-{}.png", maps.len())), &canvas.png()?)?;
            maps.push((position, blocks));
        }
        let (canvas, filters) = filters(net);
        if !filters.is_empty() {
            files::write(&folder.join("filters.png"), &canvas.png()?)?;
        }
        Ok(Self { maps, filters })
    }
}

/// The outputs of all operations for a test image, at inference.
fn feature_maps(net: &dyn Module, test: &Loader, index: usize) -> (Canvas, Vec<Tiles>) {
    let size = test.batch_size();
    let batch = test.epoch_from(0, index / size).next().expect("the image is in a batch");
    let image = batch.images.narrow(0, index % size..index % size + 1).contiguous();
    let outputs = Rc::new(RefCell::new(Vec::new()));
    let look = {
        let (mut names, outputs) = (Names::default(), Rc::clone(&outputs));
        move |var: Var| {
            outputs.borrow_mut().extend(names.of(&var).map(|name| (name, var.value().clone())));
            var
        }
    };
    net.eval();
    drop(map_records(look, || unfused(|| net.forward(&Var::constant(image)))));
    let outputs = outputs.take();
    let channels = if outputs.len() > 2 * CHANNELS { CHANNELS / 2 } else { CHANNELS };
    let mut canvas = Canvas::default();
    let blocks = outputs.iter().map(|(name, x)| {
        let (shape, values) = (x.shape(), x.to_vec());
        if shape.rank() == 4 {
            let [height, width] = [shape[2], shape[3]];
            let maps: Vec<Vec<f32>> =
                values.chunks_exact((height * width).max(1)).take(channels).map(<[f32]>::to_vec).collect();
            return canvas.add(name, shape[1], &maps, [height, width], channels, &Colors::Gray);
        }
        let units = values.len();
        let width = units.min(OUTPUTS_IN_A_ROW);
        canvas.add(name, units, &[values], [units.div_ceil(width.max(1)), width], 1, &Colors::Gray)
    });
    let blocks = blocks.collect();
    (canvas, blocks)
}

/// The filters of the convolutions.
fn filters(net: &dyn Module) -> (Canvas, Vec<Tiles>) {
    let mut canvas = Canvas::default();
    let mut blocks = Vec::new();
    for (path, weight) in net.named_parameters().into_iter().filter(|(_, parameter)| parameter.shape().rank() == 4) {
        let (shape, values) = (weight.shape(), weight.value().to_vec());
        let [o, c, h, w] = [shape[0], shape[1], shape[2], shape[3]];
        let name = path.trim_end_matches(".weight");
        if h * w == 1 {
            continue;
        }
        let planes = |count: usize, size: usize| values.chunks_exact(size).take(count).map(<[f32]>::to_vec);
        blocks.push(match c {
            1 => canvas.add(name, o, &planes(64, h * w).collect::<Vec<_>>(), [h, w], 16, &Colors::Diverging),
            3 => canvas.add(name, o, &planes(64, 3 * h * w).collect::<Vec<_>>(), [h, w], 16, &Colors::Rgb),
            _ => {
                let shown = c.min(FILTERS);
                let tiles: Vec<Vec<f32>> = (0..o.min(FILTERS))
                    .flat_map(|filter| (0..shown).map(move |input| (filter * c + input) * h * w))
                    .map(|start| values[start..start + h * w].to_vec())
                    .collect();
                canvas.add(name, o * c, &tiles, [h, w], shown, &Colors::Diverging)
            }
        });
    }
    (canvas, blocks)
}
