//! The norm of the gradient in each layer of a deep net.

use chainrule::data;
use chainrule::prelude::*;
use clap::Args;
use kuva::plot::LegendPosition;
use kuva::render::figure::Figure;

use super::picture::{BLUE, GREEN, ORANGE, PURPLE, curve, grid, layout};

/// The gradient's norm by depth: sigmoid and relu, with and without batch normalization and residual connections
///
/// Before training, on a batch of MNIST digits: a linear layer to the width, then `depth` layers
/// x ← act(W·x + b), with batch normalization act(bn(W·x + b)), with residual connections x + act(…),
/// then a linear layer to ten classes and cross-entropy.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The number of layers between the first and the last
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    depth: u32,
    /// The width of the layers
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    width: u32,
    /// The number of digits in the batch
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    batch: u32,
    /// The seed of the weights
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// How a layer is built.
struct Kind {
    name: &'static str,
    color: &'static str,
    batch_norm: bool,
    residual: bool,
}

const KINDS: [Kind; 4] = [
    Kind { name: "plain", color: ORANGE, batch_norm: false, residual: false },
    Kind { name: "batch norm", color: BLUE, batch_norm: true, residual: false },
    Kind { name: "residual", color: GREEN, batch_norm: false, residual: true },
    Kind { name: "both", color: PURPLE, batch_norm: true, residual: true },
];

/// The gradient's norm with respect to the weight of each layer from the second to the last but one.
fn norms(
    kind: &Kind,
    activation: fn(&Var64) -> Var64,
    x: &Var64,
    labels: &TensorOf<i32>,
    arguments: &Arguments,
) -> Vec<(f64, f64)> {
    let mut rng = Rng::seed(arguments.seed);
    let width = arguments.width as usize;
    let first: Linear<f64> = Linear::new(x.shape()[1], width, &mut rng);
    let layers: Vec<Linear<f64>> = (0..arguments.depth).map(|_| Linear::new(width, width, &mut rng)).collect();
    let last: Linear<f64> = Linear::new(width, 10, &mut rng);
    let mut h = activation(&first.forward(x));
    for layer in &layers {
        let mut z = layer.forward(&h);
        if kind.batch_norm {
            z = BatchNorm1d::new(width).forward(&z);
        }
        let out = activation(&z);
        h = if kind.residual { h + out } else { out };
    }
    let gradients = last.forward(&h).cross_entropy(labels).backward();
    let norm = |layer: &Linear<f64>| Tensor64::norm(&[&gradients[&layer.weight]]).item();
    layers.iter().enumerate().map(|(i, layer)| ((i + 1) as f64, norm(layer))).collect()
}

pub fn draw(arguments: &Arguments) -> Figure {
    let digits = data::mnist::embedded().into_parts().0.slice(0..arguments.batch as usize);
    let pixels: Vec<f64> = digits.pixels().iter().map(|&p| f64::from(p) / 127.5 - 1.0).collect();
    let x = Var64::constant(Tensor64::from(pixels).reshape([digits.len(), 28 * 28]));
    let labels = TensorOf::from(digits.labels().iter().map(|&label| i32::from(label)).collect::<Vec<_>>());
    println!("norm of the loss's gradient with respect to the weight of a layer:\n");
    println!("  {:<10} {:<12} {:>12} {:>12} {:>16}", "", "", "first layer", "last layer", "first / last");
    let mut panels = Vec::new();
    for (name, activation) in [("sigmoid", Var64::sigmoid as fn(&Var64) -> Var64), ("relu", Var64::relu)] {
        let mut plots = Vec::new();
        for kind in &KINDS {
            let points = norms(kind, activation, &x, &labels, arguments);
            let (first, last) = (points[0].1, points[points.len() - 1].1);
            println!("  {name:<10} {:<12} {first:>12.3e} {last:>12.3e} {:>16.1e}", kind.name, first / last);
            // 0 has no logarithm; it is the norm where the product of the factors underflows.
            let visible =
                points.into_iter().filter(|&(_, norm)| norm > 0.0).map(|(i, norm)| (i, norm.log10())).collect();
            plots.push(curve(visible, kind.color, kind.name));
        }
        let title = format!("{name}: gradient by layer");
        let layout = layout(
            &plots,
            &title,
            ["layer, from the input", "log₁₀ of the norm of ∂L/∂W"],
            LegendPosition::OutsideRightTop,
        );
        panels.push((plots, layout));
    }
    println!();
    grid(panels, 2, [620.0, 440.0])
}
