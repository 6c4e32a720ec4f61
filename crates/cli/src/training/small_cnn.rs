//! The small CNN of `mnist` and `cifar10`.

use chainrule::prelude::*;

use super::options::Options;

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
    pub fn new(options: &Options, [channels, height, width]: [usize; 3], classes: usize) -> Self {
        let mut rng = Rng::seed(options.seed);
        let [first, second] = options.channels.0;
        let conv =
            |from, to, rng: &mut Rng| Conv2d::builder(from, to, options.kernel).padding(options.kernel / 2).build(rng);
        Self {
            conv1: conv(channels, first, &mut rng),
            conv2: conv(first, second, &mut rng),
            fc1: Linear::new(second * (height / 4) * (width / 4), 128, &mut rng),
            fc2: Linear::new(128, classes, &mut rng),
            dropout: Dropout::new(options.dropout.unwrap_or(0.0), &mut rng),
            conv_activation: options.conv_activation(),
            activation: options.activation,
        }
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
