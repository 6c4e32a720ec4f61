//! The pictures of a run that colorizes: test images in gray, in their colors, and as the net colors them.

use std::collections::BTreeSet;
use std::path::Path;

use chainrule::data::{Images, Loader, mean_gray};
use chainrule::prelude::*;

use super::answers::PixelAnswers;
use super::examples::FOLDER;
use super::inside::InsideOfNet;
use super::records::{Colorized, ColorizedImage, Examples};
use super::{files, tiles};
use crate::failure::Failure;

/// The file with the pictures.
pub const FILE: &str = "colorized.png";
/// What is shown of each image, from left to right.
pub const PANELS: [&str; 5] = ["gray", "original", "true colors", "most probable", "annealed mean"];
/// Test images that are shown whatever the net makes of them, and those with the most and the fewest pixels that are right.
const FIRST: usize = 24;
const EXTREME: usize = 8;
/// Images whose feature maps are shown.
const MAPPED: usize = 4;

/// Writes all of them, and their description last.
pub fn save(
    folder: &Path,
    net: &dyn Module,
    test: &Loader,
    answers: &PixelAnswers,
    temperature: f64,
) -> Result<(), Failure> {
    let folder = folder.join(FOLDER);
    files::create_folder(&folder)?;
    let mut order: Vec<usize> = (0..answers.accuracies.len()).collect();
    // Stable: of equally accurate ones the first.
    order.sort_by(|&a, &b| answers.accuracies[b].total_cmp(&answers.accuracies[a]));
    let (best, worst): (Vec<usize>, Vec<usize>) =
        (order.iter().take(EXTREME).copied().collect(), order.iter().rev().take(EXTREME).copied().collect());
    let first = 0..FIRST.min(order.len());
    let chosen: Vec<usize> =
        first.chain(best.iter().chain(&worst).copied()).collect::<BTreeSet<usize>>().into_iter().collect();
    let panels = panels(net, test, &chosen, temperature)?;
    files::write(&folder.join(FILE), &tiles::grid(&panels, &(0..panels.len()).collect::<Vec<_>>(), PANELS.len())?)?;
    let mapped = chosen.iter().copied().enumerate().take(MAPPED);
    let InsideOfNet { maps, filters } = InsideOfNet::save(&folder, net, test, mapped)?;
    let positions = |indices: &[usize]| indices.iter().filter_map(|index| chosen.binary_search(index).ok()).collect();
    let image =
        |&index: &usize| ColorizedImage { index, accuracy: answers.accuracies[index], loss: answers.losses[index] };
    let examples = Examples {
        maps,
        filters,
        colorized: Some(Colorized {
            images: chosen.iter().map(image).collect(),
            panels: PANELS.map(String::from).to_vec(),
            best: positions(&best),
            worst: positions(&worst),
            temperature,
        }),
        ..Examples::default()
    };
    files::write_json(&folder.join("examples.json"), &examples)
}

/// The panels of the chosen images, in ascending order, one image after the other.
fn panels(net: &dyn Module, test: &Loader, chosen: &[usize], temperature: f64) -> Result<Images, Failure> {
    let palette = test.palette().expect("the net labels pixels");
    let (images, size) = (test.images(), test.batch_size());
    let [c, h, w] = images.image_shape();
    let mut pixels = Vec::with_capacity(chosen.len() * PANELS.len() * c * h * w);
    net.eval();
    let mut logits: Option<(usize, Vec<f32>)> = None;
    for &index in chosen {
        let batch = index / size;
        if logits.as_ref().is_none_or(|(of, _)| *of != batch) {
            let images = test.epoch_from(0, batch).next().expect("the image is in a batch").images;
            logits = Some((batch, no_grad(|| net.forward(&Var::constant(images))).value().to_vec()));
        }
        let colors = palette.colors().len();
        let logits =
            &logits.as_ref().expect("they were just computed").1[index % size * colors * h * w..][..colors * h * w];
        let original = images.image(index);
        pixels.extend(mean_gray(original).repeat(3));
        pixels.extend(original);
        pixels.extend(palette.paint(&palette.nearest(original)));
        pixels.extend(palette.most_probable(logits));
        pixels.extend(palette.annealed_mean(logits, temperature));
    }
    let n = chosen.len() * PANELS.len();
    Ok(Images::new(pixels, [n, c, h, w], vec![0; n], vec!["picture".into()])?)
}
