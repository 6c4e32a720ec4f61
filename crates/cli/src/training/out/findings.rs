//! What the records of a run say about it, in sentences.

use serde::Serialize;

use super::records::{Config, EpochRow, OutputProbe, Predictions, Probe};
use crate::training::program::Labeled;

/// How a finding is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Good,
    Note,
    Warning,
}

/// A sentence about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    pub text: String,
}

/// The norm of an update divided by the norm of the weights, that is usual: a thousandth, within a factor of ten.
const USUAL_UPDATE: [f64; 2] = [1e-4, 1e-2];
/// Shares of dead or saturated units that are worth a note or a warning.
const SOME: f32 = 0.1;
const MANY: f32 = 0.4;
/// A gradient is a spike at so many times its median, and vanishes at this part of the last layer's.
const SPIKE: f64 = 50.0;
const VANISHED: f64 = 1e-3;
/// How much the test loss rises above its minimum before it is overfitting.
const OVERFIT: f64 = 1.1;

fn finding(level: Level, text: String) -> Finding {
    Finding { level, text }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// All findings, the most important ones first.
pub fn findings(config: &Config, epochs: &[EpochRow], probes: &[Probe], last: Option<&Predictions>) -> Vec<Finding> {
    let mut all = Vec::new();
    all.extend(overfitting(epochs));
    all.extend(gradients(probes));
    all.extend(updates(probes));
    all.extend(units(probes));
    all.extend(last.and_then(|last| classes(config, last)));
    all.sort_by_key(|finding| match finding.level {
        Level::Warning => 0,
        Level::Note => 1,
        Level::Good => 2,
    });
    all
}

fn overfitting(epochs: &[EpochRow]) -> Option<Finding> {
    let (last, first) = (epochs.last()?, epochs.first()?);
    if !last.train.loss.is_finite() || !last.test.loss.is_finite() {
        let text = "The loss is not finite: the run has diverged. Use a smaller learning rate, or limit the gradients (--clip-norm).";
        return Some(finding(Level::Warning, text.into()));
    }
    let best = epochs.iter().min_by(|a, b| a.test.loss.total_cmp(&b.test.loss))?;
    if last.test.loss > OVERFIT * best.test.loss && last.train.loss < best.train.loss {
        return Some(finding(
            Level::Warning,
            format!(
                "Overfitting: the test loss was lowest after epoch {} ({:.4}) and is {:.4} now, while the training loss went on falling. Stop earlier, or use augmentation, dropout or weight decay.",
                best.epoch, best.test.loss, last.test.loss
            ),
        ));
    }
    (epochs.len() > 1 && last.train.loss < first.train.loss).then(|| {
        let text = format!(
            "The training loss fell from {:.4} to {:.4}, and the test loss is {:.4}: no sign of overfitting.",
            first.train.loss, last.train.loss, last.test.loss
        );
        finding(Level::Good, text)
    })
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.retain(|x| x.is_finite());
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

fn gradients(probes: &[Probe]) -> Option<Finding> {
    let layers = &probes.last()?.layers;
    let course = |layer: usize| probes.iter().map(move |probe| (probe.step, f64::from(probe.layers[layer].gradient)));
    let medians: Option<Vec<f64>> =
        (0..layers.len()).map(|layer| median(course(layer).map(|(_, norm)| norm).collect())).collect();
    let medians = medians?;
    for (layer, &usual) in medians.iter().enumerate() {
        let spike = course(layer).max_by(|a, b| a.1.total_cmp(&b.1)).filter(|&(_, norm)| norm > SPIKE * usual);
        if let Some((step, norm)) = spike.filter(|_| usual > 0.0) {
            return Some(finding(
                Level::Warning,
                format!(
                    "The gradient of {} had the norm {norm:.3e} after step {step}, {:.0} times its median. Such spikes can undo the training: use a smaller learning rate, or limit them (--clip-norm).",
                    layers[layer].layer,
                    norm / usual
                ),
            ));
        }
    }
    let (first, last) = (medians.first()?, medians.last()?);
    if *first < VANISHED * last {
        return Some(finding(
            Level::Warning,
            format!(
                "Vanishing gradients: the norm in {} is {:.0e} times that in {}, so the first layers learn hardly anything. Use ReLU, batch normalization, or residual connections.",
                layers[0].layer,
                first / last,
                layers[layers.len() - 1].layer
            ),
        ));
    }
    Some(finding(Level::Good, "The gradients neither vanish towards the first layer nor have spikes.".into()))
}

fn updates(probes: &[Probe]) -> Option<Finding> {
    let layers = &probes.last()?.layers;
    let ratios = |layer: usize| {
        let of = |probe: &Probe| {
            let at = &probe.layers[layer];
            Some(f64::from(at.update?) / f64::from(at.weight))
        };
        probes.iter().filter_map(of).collect::<Vec<f64>>()
    };
    let medians: Option<Vec<f64>> = (0..layers.len()).map(|layer| median(ratios(layer))).collect();
    let medians = medians?;
    let [low, high] = USUAL_UPDATE;
    let largest = (0..medians.len()).max_by(|&a, &b| medians[a].total_cmp(&medians[b]))?;
    let smallest = (0..medians.len()).min_by(|&a, &b| medians[a].total_cmp(&medians[b]))?;
    if medians[largest] > high {
        let text = format!(
            "A step usually changes the weights of {} by {} of their norm; about 0.1 % is usual. The learning rate may be too high.",
            layers[largest].layer,
            percent(medians[largest])
        );
        return Some(finding(Level::Note, text));
    }
    if medians[smallest] < low {
        let text = format!(
            "A step usually changes the weights of {} by only {:.1e} of their norm; about 1e-3 is usual. The learning rate may be too low for it.",
            layers[smallest].layer, medians[smallest]
        );
        return Some(finding(Level::Note, text));
    }
    let text = format!(
        "Steps change the weights by {:.1e} to {:.1e} of their norm in the median: near the usual 1e-3.",
        medians[smallest], medians[largest]
    );
    Some(finding(Level::Good, text))
}

fn units(probes: &[Probe]) -> Option<Finding> {
    let Probe { outputs, images, .. } = probes.last()?;
    let most = |share: fn(&OutputProbe) -> Option<f32>| {
        let shares = outputs.iter().filter_map(move |output| Some((output, share(output)?)));
        shares.max_by(|a, b| a.1.total_cmp(&b.1))
    };
    let (dead, saturated) = (most(|output| output.dead), most(|output| output.saturated));
    if let Some((output, share)) = dead.filter(|(_, share)| *share >= SOME) {
        let text = format!(
            "Dead units: {} of the units of {} are 0 for all of the {images} images that were measured, which therefore do not change them. A smaller learning rate or a leaky ReLU prevents that.",
            percent(share.into()),
            output.name
        );
        return Some(finding(if share >= MANY { Level::Warning } else { Level::Note }, text));
    }
    if let Some((output, share)) = saturated.filter(|(_, share)| *share >= MANY) {
        let text = format!(
            "Saturation: {} of the outputs of {} are where the function is flat, which makes gradients small.",
            percent(share.into()),
            output.name
        );
        return Some(finding(Level::Note, text));
    }
    let (output, share) = dead?;
    let text = match share {
        0.0 => format!("No dead units: each is active for some of the {images} images that were measured."),
        share => format!("Few dead units: at most {} in a layer, in {}.", percent(share.into()), output.name),
    };
    Some(finding(Level::Good, text))
}

/// The class of images, or the color of pixels, with the lowest accuracy.
fn classes(config: &Config, last: &Predictions) -> Option<Finding> {
    let names = &config.data.classes;
    let total = |row: &[u32]| f64::from(row.iter().sum::<u32>().max(1));
    let share = |class: usize| f64::from(last.confusion[class][class]) / total(&last.confusion[class]);
    let present = (0..names.len()).filter(|&class| last.confusion[class].iter().any(|&n| n > 0));
    let worst = present.min_by(|&a, &b| share(a).total_cmp(&share(b))).filter(|&class| share(class) < 1.0)?;
    let row = &last.confusion[worst];
    let other =
        (0..names.len()).filter(|&class| class != worst).max_by_key(|&class| (row[class], usize::MAX - class))?;
    let labeled = config.data.labeled;
    let what = if labeled == Labeled::Pixels { "color" } else { "class" };
    let text = format!(
        "The {what} with the lowest accuracy is {}: {} of its {labeled} are classified correctly. They are most often misclassified as {} ({} of {}).",
        names[worst],
        percent(share(worst)),
        names[other],
        row[other],
        row.iter().sum::<u32>()
    );
    Some(finding(Level::Note, text))
}
