//! Plots of a run, as SVG.

use std::path::Path;

use kuva::backend::svg::SvgBackend;
use kuva::plot::{BarPlot, LegendPosition};
use kuva::render::color::Color;
use kuva::render::figure::Figure;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::files::{self, Records};
use super::records::{EpochRow, Metric, Predictions, Score, StepRow};
use crate::commands::plot::picture::{BLUE, GREEN, ORANGE, curve, grid, layout};
use crate::failure::Failure;
use crate::training::program::Labeled;

const SIZE: [f64; 2] = [640.0, 400.0];

/// Writes the plots for which there are records.
pub fn write(folder: &Path, records: &Records) -> Result<(), Failure> {
    files::create_folder(folder)?;
    let (mut steps, mut epochs) = (Vec::new(), Vec::new());
    for metric in &records.metrics {
        match metric {
            Metric::Step(row) => steps.push(row),
            Metric::Epoch(row) => epochs.push(row),
        }
    }
    let labeled = records.config.data.labeled;
    let mut scenes = Vec::new();
    if !steps.is_empty() {
        scenes.push(("loss-and-accuracy", loss_and_accuracy(&steps, &epochs, labeled).render()));
        scenes.push(("learning-rate", learning_rate(&steps).render()));
    }
    if let Some(last) = records.predictions.last() {
        let classes = &records.config.data.classes;
        scenes.push(("per-class-accuracy", per_class(classes, labeled, last).render()));
        scenes.push(("confusion-matrix", confusion(classes, last)));
    }
    for (name, scene) in scenes {
        let svg = SvgBackend::default().render_scene(&scene);
        files::write(&folder.join(name).with_extension("svg"), svg.as_bytes())?;
    }
    Ok(())
}

/// The points that can be drawn.
fn points<R>(rows: &[&R], of: impl Fn(&R) -> (u64, f64)) -> Vec<(f64, f64)> {
    let points = rows.iter().map(|row| of(row)).map(|(step, y)| (step as f64, y));
    points.filter(|(_, y)| y.is_finite()).collect()
}

/// A panel with the curves of the training and, if an epoch has ended, of the sets that are evaluated.
fn panel(
    [title, y]: [&str; 2],
    steps: Vec<(f64, f64)>,
    epochs: &[&EpochRow],
    of: fn(&Score) -> f64,
    legend: LegendPosition,
) -> (Vec<Plot>, Layout) {
    let validation = points(epochs, |row| (row.step, row.validation.as_ref().map_or(f64::NAN, of)));
    let test = points(epochs, |row| (row.step, of(&row.test)));
    let curves = [(steps, BLUE, "training"), (validation, GREEN, "validation"), (test, ORANGE, "test")];
    let curves = curves.into_iter().filter(|(points, ..)| !points.is_empty());
    let plots: Vec<Plot> = curves.map(|(points, color, name)| curve(points, color, name)).collect();
    let layout = layout(&plots, title, ["step", y], legend);
    (plots, layout)
}

fn loss_and_accuracy(steps: &[&StepRow], epochs: &[&EpochRow], labeled: Labeled) -> Figure {
    let loss = points(steps, |row| (row.step, row.loss));
    let loss = panel(["Loss", "loss"], loss, epochs, |score| score.loss, LegendPosition::InsideTopRight);
    let accuracy = points(steps, |row| (row.step, 100.0 * row.accuracy));
    let titles = ["Accuracy", &format!("% of {labeled}")];
    let accuracy = panel(titles, accuracy, epochs, |score| 100.0 * score.accuracy, LegendPosition::InsideBottomRight);
    grid(vec![loss, accuracy], 2, SIZE)
}

fn learning_rate(steps: &[&StepRow]) -> Figure {
    let plots = vec![curve(points(steps, |row| (row.step, row.lr)), GREEN, "learning rate")];
    let layout = layout(&plots, "Learning rate", ["step", "learning rate"], LegendPosition::InsideTopRight);
    let most = steps.iter().map(|row| row.lr).fold(0.0, f64::max);
    grid(vec![(plots, layout.with_y_axis_min(0.0).with_y_axis_max(1.05 * most))], 1, SIZE)
}

fn per_class(classes: &[String], labeled: Labeled, last: &Predictions) -> Figure {
    let share = |class: usize| {
        let row = &last.confusion[class];
        100.0 * f64::from(row[class]) / f64::from(row.iter().sum::<u32>().max(1))
    };
    let bars = classes.iter().enumerate().map(|(class, name)| (name.clone(), share(class)));
    let plots = vec![Plot::Bar(BarPlot::new().with_bars(bars.collect::<Vec<_>>()).with_color(BLUE))];
    let (title, y) = match labeled {
        Labeled::Images => ("Accuracy of each class", "% of test images"),
        Labeled::Pixels => ("Accuracy of each color", "% of the pixels of test images"),
    };
    let layout = layout(&plots, title, ["", y], LegendPosition::InsideTopRight)
        .with_y_axis_min(0.0)
        .with_y_axis_max(100.0)
        .with_x_tick_rotate(if classes.len() > 6 { -45.0 } else { 0.0 });
    grid(vec![(plots, layout)], 1, SIZE)
}

/// The counts on shades of their shares of the row: blue where they are right, orange where they are mistakes.
fn confusion(classes: &[String], last: &Predictions) -> Scene {
    const CELL: f64 = 46.0;
    const TOP: f64 = 64.0;
    let longest = classes.iter().map(|name| name.chars().count()).max().unwrap_or(0) as f64;
    let (left, side) = (40.0 + 7.5 * longest, CELL * classes.len() as f64);
    let bottom = 40.0 + 7.5 * longest;
    let mut scene = Scene::new(left + side + 24.0, TOP + side + bottom);
    let text = |x: f64, y: f64, content: String, anchor, size, rotate| Primitive::Text {
        x,
        y,
        content,
        size,
        anchor,
        rotate,
        bold: false,
        color: None,
    };
    let mut elements = vec![text(left, 26.0, "Confusion matrix".into(), TextAnchor::Start, 18, None)];
    let how = "rows: true class; columns: predicted class; shade: share of the row";
    elements.push(text(left, 46.0, how.into(), TextAnchor::Start, 12, None));
    for (label, row) in last.confusion.iter().enumerate() {
        let (total, y) = (row.iter().sum::<u32>().max(1), TOP + label as f64 * CELL);
        elements.push(text(left - 8.0, y + CELL / 2.0 + 4.0, classes[label].clone(), TextAnchor::End, 12, None));
        let x = left + label as f64 * CELL + CELL / 2.0;
        elements.push(text(x, TOP + side + 16.0, classes[label].clone(), TextAnchor::End, 12, Some(-45.0)));
        for (predicted, &n) in row.iter().enumerate() {
            let x = left + predicted as f64 * CELL;
            // The square root makes few mistakes visible.
            let share = 0.85 * (f64::from(n) / f64::from(total)).sqrt();
            let deepest = if label == predicted { [0.0, 114.0, 178.0] } else { [213.0, 94.0, 0.0] };
            let [r, g, b] = deepest.map(|end| (255.0 + (end - 255.0) * share) as u8);
            elements.push(Primitive::Rect {
                x,
                y,
                width: CELL,
                height: CELL,
                fill: Color::Rgb(r, g, b),
                stroke: Some(Color::Rgb(220, 220, 220)),
                stroke_width: Some(0.5),
                opacity: None,
            });
            if n > 0 {
                elements.push(text(x + CELL / 2.0, y + CELL / 2.0 + 4.0, n.to_string(), TextAnchor::Middle, 12, None));
            }
        }
    }
    scene.font_family = Some("DejaVu Sans, Liberation Sans, Arial, sans-serif".into());
    scene.elements = elements;
    scene
}
