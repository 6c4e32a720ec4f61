//! The small CNN of `mnist` and `cifar10`.

use chainrule::prelude::*;

use super::memory;
use super::options::Options;
use crate::failure::Failure;

/// conv · act · maxpool 2 · conv · act · maxpool 2 · flatten · linear 128 · act · dropout · linear.
pub struct SmallCnn {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    dropout: Dropout,
    conv_activation: Activation,
    activation: Activation,
}

impl SmallCnn {
    /// The net for images of `[channels, height, width]`, sides divisible by 4 or rounded down.
    ///
    /// # Errors
    /// If its weights do not fit into memory.
    pub fn new(options: &Options, [channels, height, width]: [usize; 3], classes: usize) -> Result<Self, Failure> {
        let [first, second] = options.channels.0;
        let features = second.saturating_mul((height / 4) * (width / 4));
        let area = (options.kernel * options.kernel) as f64;
        // In floats: the product may exceed an integer.
        let inputs = [channels as f64 * area, first as f64 * area, features as f64, 128.0];
        let outputs = [first, second, 128, classes].map(|n| n as f64);
        let weights: f64 = inputs.iter().zip(outputs).map(|(from, to)| (from + 1.0) * to).sum();
        let bytes = weights * size_of::<f32>() as f64;
        memory::require(&format!("a net of {weights:.0} weights"), bytes, "use fewer --channels")?;
        let mut rng = Rng::seed(options.seed);
        let conv =
            |from, to, rng: &mut Rng| Conv2d::builder(from, to, options.kernel).padding(options.kernel / 2).build(rng);
        Ok(Self {
            conv1: conv(channels, first, &mut rng),
            conv2: conv(first, second, &mut rng),
            fc1: Linear::new(features, 128, &mut rng),
            fc2: Linear::new(128, classes, &mut rng),
            dropout: Dropout::new(options.dropout.unwrap_or(0.0), &mut rng),
            conv_activation: options.conv_activation(),
            activation: options.activation,
        })
    }
}

impl Module for SmallCnn {
    children!(conv1, conv2, fc1, fc2, dropout);

    fn forward(&self, x: &Var) -> Var {
        let (activation, pool) = (&self.conv_activation, &MaxPool2d::new(2));
        let x = chain(x, &[&self.conv1, activation, pool, &self.conv2, activation, pool]);
        let x = self.activation.forward(&self.fc1.forward(&x.flatten()));
        self.fc2.forward(&self.dropout.forward(&x))
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let pool = MaxPool2d::new(2);
        let x = Module::<f32>::output_shape(&pool, self.conv1.output_shape(x)?)?;
        let x = Module::<f32>::output_shape(&pool, self.conv2.output_shape(x)?)?;
        let x = Module::<f32>::output_shape(&Flatten, x)?;
        self.fc2.output_shape(self.fc1.output_shape(x)?)
    }
}
