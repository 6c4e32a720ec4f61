//! The gradient in plain and in residual convolutional nets of growing depth.

use chainrule::data::Loader;
use chainrule::nn::init::{Fan, Nonlinearity, kaiming_normal};
use chainrule::prelude::*;
use clap::Args;
use kuva::plot::LegendPosition;
use kuva::render::figure::Figure;

use super::picture::{BLUE, GRAY, GREEN, ORANGE, PURPLE, curve, grid, layout};

/// The gradient's norm by layer in convolutional nets of 8 to 56 layers: plain and residual, with and without batch norm
///
/// The nets are those of He and others, "Deep residual learning for image recognition", 2015, for images of 32×32: a 3×3
/// convolution, three groups of n blocks of two 3×3 convolutions with 16, 32 and 64 channels, and a linear layer; 6n + 2
/// layers. Before training, on a batch of CIFAR-10 images; a plain net leaves out the shortcuts.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The depths, each 2 more than a multiple of 6
    #[arg(long, value_name = "LAYERS", value_delimiter = ',', default_values_t = [8, 20, 32, 44, 56], value_parser = depth)]
    depths: Vec<usize>,
    /// The number of images in the batch
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=1000))]
    batch: u32,
    /// The seed of the weights
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn depth(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(depth) if (8..=200).contains(&depth) && depth % 6 == 2 => Ok(depth),
        _ => Err("expected 6n + 2 layers, from 8 to 200, such as 8 or 20".into()),
    }
}

/// A net: its 3×3 convolutions in order, and the linear layer.
struct Net {
    convolutions: Vec<(Conv2d, BatchNorm2d)>,
    fc: Linear,
    residual: bool,
    batch_norm: bool,
}

impl Net {
    fn new(depth: usize, residual: bool, batch_norm: bool, rng: &mut Rng) -> Self {
        let blocks = (depth - 2) / 6;
        let mut shapes = vec![(3, 16, 1)];
        for (from, to) in [(16, 16), (16, 32), (32, 64)] {
            for i in 0..2 * blocks {
                shapes.push(if i == 0 { (from, to, to / from) } else { (to, to, 1) });
            }
        }
        let convolution = |(from, to, stride): (usize, usize, usize)| {
            let convolution = Conv2d::builder(from, to, 3).stride(stride).padding(1).bias(false).build(rng);
            kaiming_normal(&convolution.weight, Fan::Out, Nonlinearity::Relu, rng);
            (convolution, BatchNorm2d::new(to))
        };
        let convolutions = shapes.into_iter().map(convolution).collect();
        Self { convolutions, fc: Linear::new(64, 10, rng), residual, batch_norm }
    }

    /// A convolution, and batch normalization if the net has it.
    fn convolve(&self, x: &Var, (convolution, norm): &(Conv2d, BatchNorm2d)) -> Var {
        let y = convolution.forward(x);
        if self.batch_norm { norm.forward(&y) } else { y }
    }

    fn forward(&self, x: &Var) -> Var {
        let mut h = self.convolve(x, &self.convolutions[0]).relu();
        for block in self.convolutions[1..].chunks_exact(2) {
            let y = self.convolve(&self.convolve(&h, &block[0]).relu(), &block[1]);
            h = if self.residual { (&y + shortcut(&h, &y)).relu() } else { y.relu() };
        }
        self.fc.forward(&h.adaptive_avg_pool2d([1, 1]).flatten())
    }
}

/// `x` in the shape of `y`: every second pixel and channels of zeros, if it has another.
fn shortcut(x: &Var, y: &Var) -> Var {
    if x.shape() == y.shape() {
        return x.clone();
    }
    let halved = |x: &Var, axis: usize| x.slice(axis as isize, 0, x.shape()[axis].div_ceil(2), 2);
    let added = y.shape()[1] - x.shape()[1];
    halved(&halved(x, 2), 3).pad(&[(0, 0), (0, added), (0, 0), (0, 0)], 0.0)
}

/// The norm of the gradient with respect to the weight of each convolution, by its number from 1.
fn norms(net: &Net, x: &Var, labels: &TensorOf<i32>) -> Vec<(f64, f64)> {
    let gradients = net.forward(x).cross_entropy(labels).backward();
    let norm = |weight: &Var| Tensor::norm(&[&gradients[weight]]).item();
    (1..).map(f64::from).zip(net.convolutions.iter().map(|(convolution, _)| norm(&convolution.weight))).collect()
}

pub fn draw(arguments: &Arguments) -> Figure {
    const COLORS: [&str; 5] = [GRAY, BLUE, GREEN, PURPLE, ORANGE];
    let images = chainrule_cifar_sample::dataset().into_parts().0;
    let loader = Loader::new(images, arguments.batch as usize).shuffle(arguments.seed);
    let batch = loader.epoch(0).next().expect("there is an image");
    let x = Var::constant(batch.images);
    println!(
        "norm of the loss's gradient with respect to the weight of a convolution, of the first over that of the last:\n"
    );
    let row = |name: &str, cells: Vec<String>| {
        println!("  {name:<28}{}", cells.iter().map(|cell| format!("{cell:>12}")).collect::<Vec<_>>().concat());
    };
    row("", arguments.depths.iter().map(|depth| format!("{depth} layers")).collect());
    let mut panels = Vec::new();
    for batch_norm in [false, true] {
        for residual in [false, true] {
            let kind = if residual { "residual" } else { "plain" };
            let name = format!("{kind}, {} batch norm", if batch_norm { "with" } else { "without" });
            let (mut plots, mut ratios) = (Vec::new(), Vec::new());
            for (i, &depth) in arguments.depths.iter().enumerate() {
                let net = Net::new(depth, residual, batch_norm, &mut Rng::seed(arguments.seed));
                let points = norms(&net, &x, &batch.labels);
                ratios.push(format!("{:.1e}", points[0].1 / points[points.len() - 1].1));
                // 0 and infinity have no place in the plot.
                let visible = points.into_iter().filter(|(_, norm)| norm.is_normal());
                let points = visible.map(|(layer, norm)| (layer, norm.log10())).collect();
                plots.push(curve(points, COLORS[i % COLORS.len()], &format!("{depth} layers")));
            }
            row(&name, ratios);
            let axes = ["convolution, from the input", "log₁₀ of the norm of ∂L/∂W"];
            let layout = layout(&plots, &name, axes, LegendPosition::OutsideRightTop);
            panels.push((plots, layout));
        }
    }
    println!();
    grid(panels, 2, [620.0, 440.0])
}
