//! A net for CIFAR-10 from a student's report.

use chainrule_tensor::{Float, Rng, Shape, ShapeError};

use crate::layers::{Activation, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Sequential};
use crate::module::Module;

/// The settings of [`report`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReportOptions {
    /// The activation function after each convolution, by default ReLU.
    pub conv_activation: Activation,
    /// The activation function after each linear layer but the last, by default ReLU.
    pub activation: Activation,
    /// The probability of dropout, by default 0.1.
    pub dropout: f64,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self { conv_activation: Activation::Relu, activation: Activation::Relu, dropout: 0.1 }
    }
}

/// Six 3×3 convolutions in three blocks, each of which halves the image, then three linear layers, for images of
/// `[channels, height, width]`. The first convolution of each block is followed by batch normalization.
///
/// # Errors
/// If the images are too small.
///
/// # Panics
/// If the dropout probability is not in [0, 1).
pub fn report<T: Float>(
    [channels, height, width]: [usize; 3],
    classes: usize,
    options: ReportOptions,
    rng: &mut Rng,
) -> Result<Sequential<T>, ShapeError> {
    let ReportOptions { conv_activation, activation, dropout } = options;
    let mut net = Sequential::new();
    for (block, (from, middle, to)) in [(channels, 6, 10), (10, 20, 40), (40, 80, 160)].into_iter().enumerate() {
        // The padding of the report: from the second block on, convolutions enlarge the image.
        let [first, second] = [[1, 1], [1, 2], [2, 2]][block];
        net = net
            .add(Conv2d::builder(from, middle, 3).padding(first).build(rng))
            .add(BatchNorm2d::new(middle))
            .add(conv_activation)
            .add(Conv2d::builder(middle, to, 3).padding(second).build(rng))
            .add(conv_activation)
            .add(MaxPool2d::new(2));
        if block > 0 {
            net = net.add(Dropout::new(dropout, rng));
        }
    }
    net = net.add(Flatten);
    // Two, because batch normalization in training needs more than one element of each channel.
    let features = net.output_shape(Shape::from([2, channels, height, width]))?[1];
    Ok(net
        .add(Linear::new(features, 1024, rng))
        .add(activation)
        .add(Linear::new(1024, 128, rng))
        .add(activation)
        .add(Dropout::new(dropout, rng))
        .add(Linear::new(128, classes, rng)))
}
