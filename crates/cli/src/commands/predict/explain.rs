//! Pictures of what a decision depends on, laid over the image.

use std::path::{Path, PathBuf};

use chainrule::data::Prepared;
use chainrule::formats::npy;
use chainrule::nn::inspect::{class_score, feature_maps, grad_cam, saliency};
use chainrule::nn::{StoredTensor, StoredTensors};
use chainrule::prelude::*;

use super::write_png;
use crate::failure::Failure;

/// The least side of a picture.
const SIDE: usize = 224;

/// Writes `<start>-saliency.png` and, if the net has feature maps, `<start>-grad-cam.png` for the score of a class, and the numbers of both
/// with those of the input as `<start>.npz`; prints their names. `input` is the image as the net sees it, (1, C, H, W).
pub fn write(net: &dyn Module, input: &Tensor, class: usize, image: &Prepared, start: &Path) -> Result<(), Failure> {
    let score = |logits: &Var| match logits.shape()[1] {
        // A single output is the logit of class 1 against class 0.
        1 => logits.sum() * if class == 1 { 1.0 } else { -1.0 },
        _ => class_score(logits, &[class as i32].into()),
    };
    let [_, h, w] = image.shape();
    let mut arrays = StoredTensors::from([("input".to_owned(), StoredTensor::from(input))]);
    let mut add = |name: &str, heat: &Tensor| {
        arrays.insert(name.into(), StoredTensor::from(&heat.reshape([h, w])));
    };
    let heat = saliency(net, input, score);
    add("saliency", &heat);
    save("saliency", "|∂score/∂pixel|", &heat, image, start)?;
    // The last operation whose output has positions.
    let maps = feature_maps(net, input);
    let last = maps.iter().rfind(|(_, maps)| maps.shape().rank() == 4 && maps.shape()[2] * maps.shape()[3] > 1);
    if let Some((path, maps)) = last {
        let [height, width] = [maps.shape()[2], maps.shape()[3]];
        let what = format!("Grad-CAM of the {height}×{width} outputs of {path}");
        let heat = grad_cam(net, input, path, score)?;
        add("grad_cam", &heat);
        save("grad-cam", &what, &heat, image, start)?;
    }
    let path = with_end(start, ".npz");
    npy::write_npz(&path, &arrays).map_err(|error| Failure::Run(format!("--explain: {error}")))?;
    println!("  the numbers: {}", path.display());
    Ok(())
}

/// The path whose last part goes on with `end`.
fn with_end(start: &Path, end: &str) -> PathBuf {
    let mut path = start.as_os_str().to_owned();
    path.push(end);
    path.into()
}

/// Writes a heat map (1, H, W), not negative, over the image.
fn save(name: &str, what: &str, heat: &Tensor, image: &Prepared, start: &Path) -> Result<(), Failure> {
    let heat = heat.to_vec();
    let most = heat.iter().copied().filter(|x| x.is_finite()).fold(0.0, f32::max);
    let [channels, h, w] = image.shape();
    let factor = SIDE.div_ceil(h.max(w));
    let mut pixels = Vec::with_capacity(3 * h * w * factor * factor);
    for i in 0..h * factor {
        for j in 0..w * factor {
            let at = i / factor * w + j / factor;
            let share = if most > 0.0 { (heat[at] / most).clamp(0.0, 1.0) } else { 0.0 };
            let color = hot(share);
            pixels.extend([0, 1, 2].map(|c| {
                let below = f32::from(image.pixels()[c % channels * h * w + at]);
                // Half of the image's light is left, so that the heat is seen on white as well.
                (0.5 * below * (1.0 - share) + color[c] * share) as u8
            }));
        }
    }
    let path = with_end(start, &format!("-{name}.png"));
    write_png(&path, &pixels, [h * factor, w * factor])
        .map_err(|error| Failure::Run(format!("--explain: cannot write {}: {error}", path.display())))?;
    let flat = if most > 0.0 { "" } else { ", 0 everywhere: the score does not depend on it" };
    println!("  {what}{flat}: {}", path.display());
    Ok(())
}

/// From dark red over yellow to white.
fn hot(x: f32) -> [f32; 3] {
    [0, 1, 2].map(|c| 255.0 * (3.0 * x - c as f32 + 0.3).clamp(0.0, 1.0))
}
