//! The small net of many tutorials.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Rng, Shape, ShapeError};

use crate::chain;
use crate::layers::{Activation, Conv2d, Dropout, Flatten, Linear, MaxPool2d};
use crate::module::Module;

/// Two convolutions and two linear layers: conv · act · maxpool 2 · conv · act · maxpool 2 · flatten · linear 128 · act ·
/// dropout · linear.
pub struct Small<T: Float = f32> {
    conv1: Conv2d<T>,
    conv2: Conv2d<T>,
    fc1: Linear<T>,
    fc2: Linear<T>,
    dropout: Dropout,
    pool: MaxPool2d,
    conv_activation: Activation,
    activation: Activation,
}

/// The settings of a [`Small`] net.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SmallOptions {
    /// Output channels of the two convolutions, by default 8 and 16.
    pub channels: [usize; 2],
    /// Kernel size of the convolutions, by default 3. They are padded by half of it.
    pub kernel: usize,
    /// The activation function after each convolution, by default ReLU.
    pub conv_activation: Activation,
    /// The activation function between the linear layers, by default ReLU.
    pub activation: Activation,
    /// The probability of dropout between the linear layers, by default 0.
    pub dropout: f64,
}

impl Default for SmallOptions {
    fn default() -> Self {
        let (conv_activation, activation) = (Activation::Relu, Activation::Relu);
        Self { channels: [8, 16], kernel: 3, conv_activation, activation, dropout: 0.0 }
    }
}

impl SmallOptions {
    /// The outputs of the first linear layer.
    const HIDDEN: usize = 128;

    /// The inputs of the first linear layer, for images of `[channels, height, width]`: each pooling halves the sides and
    /// rounds down.
    fn features(&self, [_, height, width]: [usize; 3]) -> usize {
        self.channels[1].saturating_mul((height / 4) * (width / 4))
    }

    /// The number of weights and biases of a net with these settings, without building it. In floats, since it may exceed
    /// an integer.
    pub fn parameter_count(&self, image: [usize; 3], classes: usize) -> f64 {
        let [first, second] = self.channels;
        let area = (self.kernel * self.kernel) as f64;
        let inputs = [image[0] as f64 * area, first as f64 * area, self.features(image) as f64, Self::HIDDEN as f64];
        let outputs = [first, second, Self::HIDDEN, classes].map(|n| n as f64);
        inputs.iter().zip(outputs).map(|(from, to)| (from + 1.0) * to).sum()
    }
}

impl<T: Float> Small<T> {
    /// The net for images of `[channels, height, width]`.
    ///
    /// # Panics
    /// If the dropout probability is not in [0, 1).
    #[track_caller]
    pub fn new(image: [usize; 3], classes: usize, options: SmallOptions, rng: &mut Rng) -> Self {
        let SmallOptions { channels: [first, second], kernel, conv_activation, activation, dropout } = options;
        let conv = |from, to, rng: &mut Rng| Conv2d::builder(from, to, kernel).padding(kernel / 2).build(rng);
        Self {
            conv1: conv(image[0], first, rng),
            conv2: conv(first, second, rng),
            fc1: Linear::new(options.features(image), SmallOptions::HIDDEN, rng),
            fc2: Linear::new(SmallOptions::HIDDEN, classes, rng),
            dropout: Dropout::new(dropout, rng),
            pool: MaxPool2d::new(2),
            conv_activation,
            activation,
        }
    }

    fn layers(&self) -> [(&'static str, &dyn Module<T>); 11] {
        let Self { conv1, conv2, fc1, fc2, dropout, pool, conv_activation, activation } = self;
        [
            ("conv1", conv1),
            ("activation1", conv_activation),
            ("pool1", pool),
            ("conv2", conv2),
            ("activation2", conv_activation),
            ("pool2", pool),
            ("flatten", &Flatten),
            ("fc1", fc1),
            ("activation3", activation),
            ("dropout", dropout),
            ("fc2", fc2),
        ]
    }
}

impl<T: Float> Module<T> for Small<T> {
    crate::children!(T: conv1, conv2, fc1, fc2, dropout);

    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        chain(x, &self.layers().map(|(_, layer)| layer))
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        self.layers().map(|(_, layer)| layer).output_shape(x)
    }

    fn stages(&self) -> Vec<(String, &dyn Module<T>)> {
        self.layers().map(|(name, layer)| (name.to_owned(), layer)).into()
    }
}
