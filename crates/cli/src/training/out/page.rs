//! The report of a run as one self-contained page.

use std::path::Path;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::colorized;
use super::examples::FOLDER;
use super::files::{self, Records};
use super::findings::{Finding, findings};
use super::records::{Config, EpochRow, Examples, Metric, Outcome, Probe, StepRow};
use crate::failure::Failure;

/// The scripts, in their order; they share one scope.
const SCRIPTS: [&str; 7] = [
    include_str!("../../../templates/report/page.js"),
    include_str!("../../../templates/report/chart.js"),
    include_str!("../../../templates/report/layers.js"),
    include_str!("../../../templates/report/confusion.js"),
    include_str!("../../../templates/report/images.js"),
    include_str!("../../../templates/report/colorized.js"),
    include_str!("../../../templates/report/main.js"),
];
const STYLE: &str = include_str!("../../../templates/report/style.css");
/// Rows of steps in a page; of longer runs, several are averaged to one.
const ROWS: usize = 1000;

#[derive(Template)]
#[template(path = "report/report.html")]
struct Page<'a> {
    title: &'a str,
    style: &'a str,
    script: &'a str,
    data: &'a str,
}

/// The data of the page's scripts.
#[derive(Serialize)]
struct Contents<'a> {
    config: &'a Config,
    steps: Vec<Point>,
    epochs: Vec<&'a EpochRow>,
    probes: &'a [Probe],
    matrices: Vec<Matrix<'a>>,
    outcome: Option<&'a Outcome>,
    findings: Vec<Finding>,
    examples: Option<&'a Examples>,
    pictures: Pictures,
}

/// The training over some steps.
#[derive(Serialize)]
struct Point {
    step: u64,
    loss: f64,
    accuracy: f64,
    lr: f64,
}

/// The confusion matrix after an epoch, and the classes of the images in the page.
#[derive(Serialize)]
struct Matrix<'a> {
    epoch: u64,
    step: u64,
    counts: &'a [Vec<u32>],
    predicted: Vec<u16>,
}

/// Images as `data:` addresses.
#[derive(Default, Serialize)]
struct Pictures {
    images: Option<String>,
    maps: Vec<Option<String>>,
    filters: Option<String>,
    colorized: Option<String>,
}

/// The page as HTML. Images are read from the folder.
pub fn page(folder: &Path, records: &Records) -> Result<String, Failure> {
    let Records { config, metrics, probes, predictions, outcome, examples } = records;
    let (mut steps, mut epochs) = (Vec::new(), Vec::new());
    for metric in metrics {
        match metric {
            Metric::Step(row) => steps.push(row),
            Metric::Epoch(row) => epochs.push(row),
        }
    }
    let rows: Vec<EpochRow> = epochs.iter().map(|&row| row.clone()).collect();
    let shown = examples.as_ref().map_or(&[][..], |examples| &examples.images);
    let matrices = predictions.iter().map(|row| Matrix {
        epoch: row.epoch,
        step: row.step,
        counts: &row.confusion,
        predicted: shown.iter().filter_map(|example| row.predicted.get(example.index).copied()).collect(),
    });
    let contents = Contents {
        config,
        steps: thinned(&steps),
        epochs,
        probes,
        matrices: matrices.collect(),
        outcome: outcome.as_ref(),
        findings: findings(config, &rows, probes, predictions.last()),
        examples: examples.as_ref(),
        pictures: pictures(&folder.join(FOLDER), examples.as_ref())?,
    };
    // JSON has `<` only within strings; as an escape, no string can end the script element.
    let data = serde_json::to_string(&contents)?.replace('<', "\\u003c");
    let title = format!("chainrule {}", config.program);
    Ok(Page { title: &title, style: STYLE, script: &SCRIPTS.join("\n"), data: &data }.render()?)
}

/// At most [`ROWS`] points, each the mean of as many rows. A row of few steps, at the end of an epoch, is left out: its mean
/// is mostly noise.
fn thinned(rows: &[&StepRow]) -> Vec<Point> {
    const FEW: u64 = 10;
    let before = |k: usize| if k == 0 { 0 } else { rows[k - 1].step };
    let enough = |&k: &usize| rows[k].step - before(k) >= FEW;
    let mut kept: Vec<&StepRow> = (0..rows.len()).filter(enough).map(|k| rows[k]).collect();
    if kept.is_empty() {
        kept = rows.to_vec();
    }
    let means = kept.chunks(kept.len().div_ceil(ROWS).max(1)).map(|rows| {
        let last = rows[rows.len() - 1];
        let mean = |of: fn(&StepRow) -> f64| rows.iter().map(|row| of(row)).sum::<f64>() / rows.len() as f64;
        Point { step: last.step, loss: mean(|row| row.loss), accuracy: mean(|row| row.accuracy), lr: last.lr }
    });
    means.collect()
}

fn pictures(folder: &Path, examples: Option<&Examples>) -> Result<Pictures, Failure> {
    let read = |name: &str| -> Result<Option<String>, Failure> {
        let bytes = files::read(&folder.join(name))?;
        Ok(bytes.map(|bytes| format!("data:image/png;base64,{}", STANDARD.encode(bytes))))
    };
    let Some(examples) = examples else { return Ok(Pictures::default()) };
    Ok(Pictures {
        images: if examples.images.is_empty() { None } else { read("images.png")? },
        maps: (0..examples.maps.len()).map(|k| read(&format!("maps-{k}.png"))).collect::<Result<_, _>>()?,
        filters: if examples.filters.is_empty() { None } else { read("filters.png")? },
        colorized: if examples.colorized.is_none() { None } else { read(colorized::FILE)? },
    })
}
