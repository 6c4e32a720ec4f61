//! Activation functions with two derivatives, by autograd and by closed forms.

use chainrule::prelude::*;
use kuva::plot::LegendPosition::{self, InsideBottomRight, InsideTopLeft, InsideTopRight};
use kuva::render::figure::Figure;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;

use super::closed_forms::{self, Jet};
use super::picture::{BLUE, GRAY, GREEN, ORANGE, PURPLE, curve, dots, grid, layout};
use crate::failure::Failure;

/// The largest |x|; the points are multiples of `STEP` and include 0.
const REACH: f64 = 5.0;
const STEP: f64 = 0.05;

/// Every so many points, a dot shows the closed form.
const DOTS: usize = 10;

/// The largest accepted difference between autograd and a closed form.
const TOLERANCE: f64 = 1e-12;

/// An activation function: by the engine, and by hand.
struct Activation {
    name: &'static str,
    engine: fn(&Var64) -> Var64,
    by_hand: fn(f64) -> Jet,
}

const ACTIVATIONS: [Activation; 7] = [
    Activation { name: "relu", engine: Var64::relu, by_hand: closed_forms::relu },
    Activation {
        name: "leaky relu, α = 0.1",
        engine: |x| x.leaky_relu(0.1),
        by_hand: |x| closed_forms::leaky_relu(x, 0.1),
    },
    Activation { name: "sigmoid", engine: Var64::sigmoid, by_hand: closed_forms::sigmoid },
    Activation { name: "tanh", engine: Var64::tanh, by_hand: closed_forms::tanh },
    Activation { name: "softplus", engine: Var64::softplus, by_hand: closed_forms::softplus },
    Activation { name: "mish", engine: Var64::mish, by_hand: closed_forms::mish },
    Activation { name: "gelu", engine: Var64::gelu, by_hand: closed_forms::gelu },
];

/// Swish for several β, with the functions that it tends to: x/2 for β → 0, relu for β → ∞.
const SWISH: [(Activation, &str); 5] = [
    (Activation { name: "β = 0 (x/2)", engine: |x| x.swish(0.0), by_hand: |x| closed_forms::swish(x, 0.0) }, GRAY),
    (Activation { name: "β = 0.5", engine: |x| x.swish(0.5), by_hand: |x| closed_forms::swish(x, 0.5) }, GREEN),
    (Activation { name: "β = 1", engine: |x| x.swish(1.0), by_hand: |x| closed_forms::swish(x, 1.0) }, BLUE),
    (Activation { name: "β = 4", engine: |x| x.swish(4.0), by_hand: |x| closed_forms::swish(x, 4.0) }, PURPLE),
    (Activation { name: "β → ∞ (relu)", engine: Var64::relu, by_hand: closed_forms::relu }, ORANGE),
];

/// The points and, for each order of the derivative, the values at them.
struct Samples {
    autograd: [Vec<(f64, f64)>; 3],
    by_hand: [Vec<(f64, f64)>; 3],
    /// The largest difference of the two, for each order.
    difference: [f64; 3],
}

impl Activation {
    fn sample(&self) -> Samples {
        let half = (REACH / STEP).round() as i32;
        let at: Vec<f64> = (-half..=half).map(|i| f64::from(i) * STEP).collect();
        let x = Var64::parameter("x", at.clone());
        let y = (self.engine)(&x);
        // A derivative that is constant has no path to x, so 0·x is added.
        let slope = (y.sum() + (0.0 * &x).sum()).gradient(&x);
        let curvature = (slope.sum() + (0.0 * &x).sum()).gradient(&x);
        let autograd = [y, slope, curvature].map(|v| at.iter().copied().zip(v.value().to_vec()).collect::<Vec<_>>());
        let by_hand = [0, 1, 2].map(|order| at.iter().map(|&x| (x, (self.by_hand)(x)[order])).collect::<Vec<_>>());
        let difference = [0, 1, 2].map(|order| {
            let pairs = autograd[order].iter().zip(&by_hand[order]);
            // NaN is a difference too, so no f64::max here.
            pairs.map(|(a, b)| (a.1 - b.1).abs()).fold(0.0, |most, d| if d <= most { most } else { d })
        });
        Samples { autograd, by_hand, difference }
    }
}

pub fn draw() -> Result<Figure, Failure> {
    println!("largest difference between autograd and the closed form, |x| ≤ {REACH}:\n");
    println!("  {:<22} {:>9} {:>9} {:>9}", "", "f", "f′", "f″");
    let mut panels = Vec::new();
    for activation in &ACTIVATIONS {
        let samples = activation.checked()?;
        let curves = [("f", BLUE), ("f′", ORANGE), ("f″", GREEN)];
        panels.push(panel(
            (activation.name, if activation.name == "tanh" { InsideBottomRight } else { InsideTopLeft }),
            curves.into_iter().enumerate().map(|(order, (name, color))| (&samples, order, name, color)),
        ));
    }
    let swish: Vec<Samples> =
        SWISH.iter().map(|(activation, _)| activation.checked()).collect::<Result<_, Failure>>()?;
    let titles = [("swish f = x·σ(βx)", InsideTopLeft), ("swish f′", InsideBottomRight), ("swish f″", InsideTopRight)];
    for (order, title) in titles.into_iter().enumerate() {
        let curves =
            SWISH.iter().zip(&swish).map(|((activation, color), samples)| (samples, order, activation.name, *color));
        panels.push(panel(title, curves));
    }
    println!("\nIn the pictures the curves are by autograd, the dots by the closed forms.");
    Ok(grid(panels, 5, [400.0, 340.0]))
}

/// A title and the corner for the legend, where no curve is; curves, each given by samples, order of the derivative, name
/// and color.
fn panel<'a>(
    (title, corner): (&str, LegendPosition),
    curves: impl Iterator<Item = (&'a Samples, usize, &'a str, &'a str)>,
) -> (Vec<Plot>, Layout) {
    let mut plots = Vec::new();
    let mut exact = Vec::new();
    for (samples, order, name, color) in curves {
        plots.push(curve(samples.autograd[order].clone(), color, name));
        exact.extend(samples.by_hand[order].iter().copied().step_by(DOTS));
    }
    plots.push(Plot::Scatter(dots(exact, "#222222", 2.2).with_legend("closed form")));
    let layout = layout(&plots, title, ["x", ""], corner);
    (plots, layout)
}

impl Activation {
    /// The samples, after a line of the table; an error if autograd and the closed form disagree.
    fn checked(&self) -> Result<Samples, Failure> {
        let samples = self.sample();
        let [f, slope, curvature] = samples.difference;
        println!("  {:<22} {f:>9.1e} {slope:>9.1e} {curvature:>9.1e}", self.name);
        if samples.difference.iter().all(|&d| d <= TOLERANCE) {
            return Ok(samples);
        }
        Err(Failure::Run(format!("{}: autograd and the closed form differ by more than {TOLERANCE:e}", self.name)))
    }
}
