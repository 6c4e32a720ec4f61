//! The test images of a run's folder: the first ones, mistakes, and some of each cell of the confusion matrix.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chainrule::data::{Images, Loader};
use chainrule::prelude::*;

use super::answers::ImageAnswers;
use super::inside::InsideOfNet;
use super::records::{Example, Examples, Predictions};
use super::{files, tiles};
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
/// Images whose feature maps are shown.
const MAPPED: usize = 4;

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
    let mapped = mapped.into_iter().filter_map(|index| Some((position(index)?, index)));
    let InsideOfNet { maps, filters } = InsideOfNet::save(&folder, net, test, mapped)?;
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
