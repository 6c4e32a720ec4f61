//! The loss of the two-neuron net over two of its weights, with the paths of four optimizers.

use chainrule::prelude::*;
use clap::Args;
use kuva::plot::{ContourPlot, LegendPosition};
use kuva::render::annotations::TextAnnotation;
use kuva::render::figure::Figure;
use kuva::render::plots::Plot;

use super::picture::{BLUE, GREEN, ORANGE, PURPLE, curve, dots, grid, layout};
use crate::numbers::positive;

/// The loss of the two-neuron net over w1 and w5, with the paths of SGD, momentum, Nesterov and Adam
///
/// The net of `chainrule two-neurons`, the other weights at 0.5:
/// o = σ((3·w1 + 5·0.5)·w5 + 4·0.5), E = ½(1 − o)²
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// w1 and w5 at the start
    #[arg(long, value_name = "W1,W5", default_value = "-2.5,1.6", value_parser = start, allow_hyphen_values = true)]
    start: [f64; 2],
    /// The learning rate of SGD, momentum and Nesterov; Adam's is the same
    #[arg(long, default_value_t = 0.15, value_parser = positive, allow_negative_numbers = true)]
    lr: f64,
    /// The number of steps of each optimizer
    #[arg(long, default_value_t = 150)]
    steps: usize,
}

fn start(text: &str) -> Result<[f64; 2], String> {
    let numbers: Vec<f64> =
        text.split(',').filter_map(|n| n.trim().parse().ok()).filter(|n: &f64| n.is_finite()).collect();
    numbers.try_into().map_err(|_| "expected two numbers, such as -2.5,1.6".into())
}

/// The half width of the picture.
const REACH: f64 = 4.0;

/// The points of the grid along each axis.
const GRID: usize = 81;

/// The loss as a function of w1 and w5.
fn loss(w1: &Var64, w5: &Var64) -> Var64 {
    let h1 = 3.0 * w1 + 5.0 * 0.5;
    let h2 = 3.0 * 0.5 + 5.0 * 0.5;
    let o = (h1 * w5 + h2 * 0.5).sigmoid();
    0.5 * (1.0 - o).square()
}

/// The points that an optimizer visits, the start included, and the final loss.
fn path(
    optimizer: impl FnOnce(Vec<Var64>) -> Box<dyn Optimizer<f64>>,
    arguments: &Arguments,
) -> (Vec<(f64, f64)>, f64) {
    let [w1, w5] = arguments.start;
    let weights = [Var64::parameter("w1", w1), Var64::parameter("w5", w5)];
    let mut optimizer = optimizer(weights.to_vec());
    let here = || (weights[0].item(), weights[1].item());
    let mut points = vec![here()];
    for _ in 0..arguments.steps {
        let gradients = loss(&weights[0], &weights[1]).backward();
        optimizer.step(&gradients);
        points.push(here());
    }
    (points, loss(&weights[0], &weights[1]).item())
}

pub fn draw(arguments: &Arguments) -> Figure {
    let lr = arguments.lr;
    let axis: Vec<f64> = (0..GRID).map(|i| REACH * (2.0 * i as f64 / (GRID - 1) as f64 - 1.0)).collect();
    let row = |&w5: &f64| -> Vec<f64> {
        let w1 = Var64::constant(axis.clone());
        no_grad(|| loss(&w1, &Var64::constant(vec![w5; GRID])).value().to_vec())
    };
    let height: Vec<Vec<f64>> = axis.iter().map(row).collect();
    let levels = [0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.45, 0.49];
    let contours = ContourPlot::new()
        .with_grid(height, axis.clone(), axis)
        .with_levels(&levels)
        .with_line_width(1.0)
        .with_line_color("#b0b0b0");

    let paths = [
        ("SGD", BLUE, path(|w| Box::new(Sgd::new(w, lr)), arguments)),
        ("momentum 0.9", ORANGE, path(|w| Box::new(Sgd::new(w, lr).momentum(0.9)), arguments)),
        ("Nesterov 0.9", GREEN, path(|w| Box::new(Sgd::new(w, lr).momentum(0.9).nesterov(true)), arguments)),
        ("Adam", PURPLE, path(|w| Box::new(Adam::new(w, lr)), arguments)),
    ];
    let [w1, w5] = arguments.start;
    println!("E = ½(1 − o)² after {} steps with lr {lr} from w1 = {w1}, w5 = {w5}:\n", arguments.steps);
    let mut ends = Vec::new();
    let mut plots = vec![Plot::Contour(contours)];
    for (name, color, (points, end)) in paths {
        let (w1, w5) = points[points.len() - 1];
        println!("  {name:<14} w1 = {w1:>8.4}, w5 = {w5:>8.4}, E = {end:.6}");
        ends.push((w1, w5));
        plots.push(curve(points, color, name));
    }
    println!();
    ends.push((w1, w5));
    plots.push(Plot::Scatter(dots(ends, "#222222", 3.0)));
    let layout = layout(
        &plots,
        "E over w1 and w5; lines of equal E from 0.005 to 0.49",
        ["w1", "w5"],
        LegendPosition::OutsideRightTop,
    )
    .with_legend_width(170.0)
    .with_annotation(TextAnnotation::new("E near 0", 2.6, 2.6))
    .with_annotation(TextAnnotation::new("E near 0", -2.6, -2.6))
    .with_annotation(TextAnnotation::new("E near ½", -3.2, 3.4))
    .with_annotation(TextAnnotation::new("E near ½", 2.6, -3.0))
    .with_x_axis_min(-REACH)
    .with_x_axis_max(REACH)
    .with_y_axis_min(-REACH)
    .with_y_axis_max(REACH);
    grid(vec![(plots, layout)], 1, [820.0, 620.0])
}
