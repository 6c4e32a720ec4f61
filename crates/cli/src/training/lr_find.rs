//! The learning-rate range test: Smith, "Cyclical learning rates for training neural networks", 2015 (arXiv 1506.01186).

use std::path::PathBuf;

use chainrule::data::Loader;
use chainrule::prelude::*;

use super::recipe::Recipe;
use crate::failure::Failure;

/// The first rate, and the decades up to the last.
const FIRST: f64 = 1e-7;
const DECADES: usize = 8;
const STEPS_PER_DECADE: usize = 20;
const STEPS: usize = DECADES * STEPS_PER_DECADE + 1;

/// The weight of the past in the moving average of the losses: of about ten steps, half a decade.
const PAST: f64 = 0.9;

/// The test ends when the average is this many times its minimum.
const DIVERGED: f64 = 4.0;

/// Steps on either side of the one at which the slope of the average is estimated.
const REACH: usize = 4;

/// Steps from one line of the table to the next.
const LINES: usize = STEPS_PER_DECADE * 2 / 5;

/// A step: its learning rate, its loss before the update, and the average of the losses so far.
#[derive(Clone, Copy)]
struct Point {
    lr: f64,
    loss: f64,
    average: f64,
}

/// Takes steps with growing rates on the batches of training, prints the losses and the rate to use. The net is not trained afterwards
/// and nothing is saved.
///
/// # Errors
/// If no rate makes the loss fall, or the picture cannot be written.
pub fn run(
    net: &dyn Module,
    recipe: &Recipe,
    optimizer: &mut dyn Optimizer,
    train: &Loader,
    picture: Option<&PathBuf>,
) -> Result<(), Failure> {
    if let Some(path) = picture.filter(|_| cfg!(not(feature = "plots"))) {
        return Err(Failure::Usage(format!(
            "--lr-find {}: this program was built without plots; from the source: cargo run --release --features plots -- …, or leave the file out",
            path.display()
        )));
    }
    let images = (train.batch_size() * recipe.accumulation().of_a_step()).min(train.images().len());
    println!("learning-rate range test: up to {STEPS} steps of {images} images\n");
    let (points, end) = test(net, recipe, optimizer, train);
    println!("{:>6} {:>9} {:>11} {:>11}", "step", "lr", "loss", "average");
    for (i, Point { lr, loss, average }) in points.iter().enumerate() {
        if i % LINES == 0 || i + 1 == points.len() {
            println!("{:>6} {lr:>9.1e} {loss:>11.4} {average:>11.4}", i + 1);
        }
    }
    println!();
    let found = Found::new(&points);
    #[cfg(feature = "plots")]
    if let Some(path) = picture {
        draw(&points, found.as_ref(), path)?;
    }
    let last = &points[points.len() - 1];
    let Some(Found { steepest, slope, least }) = found else {
        return Err(Failure::Run(format!(
            "the loss fell at no learning rate up to {:.1e}, where {}; look for an error in the net, the loss or the data",
            last.lr,
            end.text()
        )));
    };
    let (steepest, least) = (&points[steepest], &points[least]);
    println!(
        "steepest descent: at lr {:.1e} the average falls by {:.3} per factor of 10\n\
         minimum:          {:.4} at lr {:.1e}; a tenth of this rate is {:.1e}\n\
         end:              at lr {:.1e}, where {}\n\n\
         suggested: --lr {:.1e}, where the loss falls fastest",
        steepest.lr,
        -slope,
        least.average,
        least.lr,
        least.lr / 10.0,
        last.lr,
        end.text(),
        steepest.lr
    );
    Ok(())
}

/// Why the test ended.
#[derive(Clone, Copy)]
enum End {
    Diverged,
    NotFinite,
    LastStep,
}

impl End {
    fn text(self) -> &'static str {
        match self {
            Self::Diverged => "the average was 4 times its minimum",
            Self::NotFinite => "the step made the loss infinite or NaN",
            Self::LastStep => "the test has its last step",
        }
    }
}

/// The steps, and why there were no more.
fn test(net: &dyn Module, recipe: &Recipe, optimizer: &mut dyn Optimizer, train: &Loader) -> (Vec<Point>, End) {
    recipe.start_epoch(net, 0);
    let (mut points, mut sum, mut weight, mut least) = (Vec::new(), 0.0, 0.0, f64::INFINITY);
    let mut batches = (0..).flat_map(|epoch| train.epoch(epoch));
    for i in 0..STEPS {
        let lr = FIRST * 10_f64.powf(i as f64 / STEPS_PER_DECADE as f64);
        let batches = recipe.accumulation().next_step(&mut batches);
        let (value, gradients) = recipe.gradients(net, &batches);
        if !value.is_finite() {
            return (points, End::NotFinite);
        }
        // Divided by the sum of the weights, the average begins at the first loss and not near 0.
        (sum, weight) = (PAST * sum + (1.0 - PAST) * value, PAST * weight + (1.0 - PAST));
        let average = sum / weight;
        points.push(Point { lr, loss: value, average });
        least = average.min(least);
        if average > DIVERGED * least {
            return (points, End::Diverged);
        }
        optimizer.set_lr(lr);
        recipe.update(optimizer, gradients);
    }
    (points, End::LastStep)
}

/// The steps that matter.
struct Found {
    /// The step at which the average falls fastest, and its slope over the logarithm of the rate to the base 10.
    steepest: usize,
    slope: f64,
    /// The step with the least average.
    least: usize,
}

impl Found {
    /// `None` if the average never falls.
    fn new(points: &[Point]) -> Option<Self> {
        let (least, _) = points.iter().enumerate().min_by(|a, b| a.1.average.total_cmp(&b.1.average))?;
        let slopes = (REACH..(least + 1).saturating_sub(REACH)).map(|i| (i, slope(&points[i - REACH..=i + REACH])));
        let (steepest, slope) = slopes.min_by(|a, b| a.1.total_cmp(&b.1))?;
        (slope < 0.0).then_some(Self { steepest, slope, least })
    }
}

/// The slope of the straight line with the least squares through the averages, over the logarithm of the rate.
fn slope(points: &[Point]) -> f64 {
    let n = points.len() as f64;
    let mean = |f: fn(&Point) -> f64| points.iter().map(f).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.lr.log10()), mean(|point| point.average));
    let products = |f: &dyn Fn(&Point) -> f64| points.iter().map(f).sum::<f64>();
    products(&|point| (point.lr.log10() - x) * (point.average - y)) / products(&|point| (point.lr.log10() - x).powi(2))
}

/// Draws the losses over the rate.
#[cfg(feature = "plots")]
fn draw(points: &[Point], found: Option<&Found>, path: &std::path::Path) -> Result<(), Failure> {
    use kuva::plot::LegendPosition;
    use kuva::render::plots::Plot;

    use crate::commands::plot::picture::{BLUE, GRAY, GREEN, ORANGE, curve, dots, grid, layout, save_svg};

    let of = |i: usize| vec![(points[i].lr, points[i].average)];
    // Single losses at the end may be far above the average.
    let most = points.iter().map(|point| point.average).fold(0.0, f64::max);
    let losses = points.iter().map(|point| (point.lr, point.loss.min(most))).collect();
    let mut plots = vec![
        Plot::Scatter(dots(losses, GRAY, 2.0).with_legend("loss")),
        curve(points.iter().map(|point| (point.lr, point.average)).collect(), BLUE, "average"),
    ];
    if let Some(Found { steepest, least, .. }) = found {
        plots.push(Plot::Scatter(dots(of(*steepest), ORANGE, 6.0).with_legend("steepest descent")));
        plots.push(Plot::Scatter(dots(of(*least), GREEN, 6.0).with_legend("minimum")));
    }
    let axes = ["learning rate", "training loss"];
    let layout = layout(&plots, "learning-rate range test", axes, LegendPosition::OutsideRightTop);
    let layout = layout.with_log_x().with_legend_width(170.0);
    save_svg(grid(vec![(plots, layout)], 1, [760.0, 460.0]), path)
}
