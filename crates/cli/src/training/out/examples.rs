//! The images of a run's folder: test images, feature maps, filters.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use chainrule::autograd::map_records;
use chainrule::data::{Images, Loader};
use chainrule::prelude::*;

use super::answers::ImageAnswers;
use super::files;
use super::outputs::Names;
use super::records::{Example, Examples, Predictions, Tiles};
use super::tiles::{self, Canvas, Colors};
use crate::failure::Failure;

/// The folder of the images.
pub const FOLDER: &str = "examples";
/// Test images that are shown whatever the net says of them, and mistakes with the largest loss.
const SAMPLES: usize = 40;
const WORST: usize = 40;
/// Images of one cell of a confusion matrix: for each epoch, and of the last one, if there is room for more.
const OF_A_CELL: usize = 8;
const OF_A_LAST_CELL: usize = 24;
/// All images, and their bytes.
const MOST: usize = 1000;
const MOST_BYTES: usize = 3_000_000;
const COLUMNS: usize = 25;
/// Images whose feature maps are shown, and channels of each layer.
const MAPPED: usize = 4;
const CHANNELS: usize = 16;
/// The side of the square of filters that is shown of a convolution with several inputs.
const FILTERS: usize = 8;
/// Outputs of a linear layer in a row of a picture.
const OUTPUTS_IN_A_ROW: usize = 32;

/// Writes all of them, and their description last.
pub fn save(
    folder: &Path,
    net: &dyn Module,
    test: &Loader,
    answers: &ImageAnswers,
    history: &[Predictions],
) -> Result<(), Failure> {
    let folder = folder.join(FOLDER);
    files::create_folder(&folder)?;
    let images = test.images();
    let worst = worst(answers);
    let chosen = chosen(images, answers, history, &worst);
    let example = |&index: &usize| Example { index, label: answers.labels[index], top: answers.top[index].clone() };
    let mapped = mapped(answers, &worst, images.classes().len());
    let position = |index: usize| chosen.binary_search(&index).ok();
    files::write(&folder.join("images.png"), &tiles::grid(images, &chosen, COLUMNS)?)?;
    let mut maps = Vec::new();
    for (position, index) in mapped.iter().filter_map(|&index| Some((position(index)?, index))) {
        let (canvas, blocks) = feature_maps(net, test, index);
        files::write(&folder.join(format!("maps-{}.png", maps.len())), &canvas.png()?)?;
        maps.push((position, blocks));
    }
    let (canvas, filters) = filters(net);
    if !filters.is_empty() {
        files::write(&folder.join("filters.png"), &canvas.png()?)?;
    }
    let examples = Examples {
        images: chosen.iter().map(example).collect(),
        columns: COLUMNS,
        worst: worst.iter().filter_map(|&index| position(index)).collect(),
        maps,
        filters,
        colorized: None,
    };
    files::write_json(&folder.join("examples.json"), &examples)
}

/// The mistakes with the largest loss, that one first.
fn worst(answers: &ImageAnswers) -> Vec<usize> {
    let mut wrong: Vec<usize> = (0..answers.labels.len()).filter(|&index| !answers.is_right(index)).collect();
    wrong.sort_by(|&a, &b| answers.losses[b].total_cmp(&answers.losses[a]));
    wrong.truncate(WORST);
    wrong
}

/// The test images to show, in ascending order: the first ones, the worst mistakes, and some of each cell of the confusion
/// matrices of all epochs, the last epoch first.
fn chosen(images: &Images, answers: &ImageAnswers, history: &[Predictions], worst: &[usize]) -> Vec<usize> {
    let size: usize = images.image_shape().iter().product();
    let most = MOST.min(MOST_BYTES / size).min(images.len()).max(1);
    let mut chosen: BTreeSet<usize> = (0..SAMPLES.min(images.len())).chain(worst.iter().copied()).take(most).collect();
    let mut add = |predictions: &Predictions, limit: usize| {
        let cell = |index: usize| (answers.labels[index], predictions.predicted[index]);
        let mut shown: BTreeMap<(u16, u16), usize> = BTreeMap::new();
        for &index in &chosen {
            *shown.entry(cell(index)).or_default() += 1;
        }
        for index in 0..images.len() {
            let shown = shown.entry(cell(index)).or_default();
            if *shown < limit && chosen.len() < most && chosen.insert(index) {
                *shown += 1;
            }
        }
    };
    let history = || history.iter().rev().filter(|predictions| predictions.predicted.len() == images.len());
    history().for_each(|predictions| add(predictions, OF_A_CELL));
    history().take(1).for_each(|predictions| add(predictions, OF_A_LAST_CELL));
    chosen.into_iter().collect()
}

/// The images whose feature maps are shown: two mistakes, then images of different classes that are classified correctly.
fn mapped(answers: &ImageAnswers, worst: &[usize], classes: usize) -> Vec<usize> {
    let right = |class: usize| {
        (0..SAMPLES.min(answers.labels.len()))
            .find(|&index| usize::from(answers.labels[index]) == class && answers.is_right(index))
    };
    let right: Vec<usize> = (0..classes).filter_map(right).collect();
    let mistakes = worst.len().min(MAPPED / 2);
    let mapped = right.iter().take(MAPPED - mistakes).chain(&worst[..mistakes]);
    mapped.copied().collect()
}

/// The outputs of all operations for a test image, at inference.
pub fn feature_maps(net: &dyn Module, test: &Loader, index: usize) -> (Canvas, Vec<Tiles>) {
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
pub fn filters(net: &dyn Module) -> (Canvas, Vec<Tiles>) {
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
