//! A plain net of convolutions with batch normalization.

use chainrule_tensor::{Float, Rng, Shape, ShapeError};

use super::convolution;
use crate::layers::{BatchNorm2d, Dropout, Flatten, Linear, MaxPool2d, Relu, Sequential};
use crate::module::Module;

/// The settings of [`blocks`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlocksOptions {
    /// The channels of the blocks, by default 32, 64 and 128.
    pub widths: [usize; 3],
    /// The probability of dropout before the linear layer, by default 0.
    pub dropout: f64,
}

impl Default for BlocksOptions {
    fn default() -> Self {
        Self { widths: [32, 64, 128], dropout: 0.0 }
    }
}

/// Three blocks, each of two 3×3 convolutions with batch normalization and ReLU and a max pooling that halves the sides,
/// then dropout and a linear layer: the form of a VGG net, for images of `[channels, height, width]`.
///
/// # Errors
/// If the images are too small: each side needs eight pixels.
///
/// # Panics
/// If the dropout probability is not in [0, 1).
pub fn blocks<T: Float>(
    [channels, height, width]: [usize; 3],
    classes: usize,
    BlocksOptions { widths, dropout }: BlocksOptions,
    rng: &mut Rng,
) -> Result<Sequential<T>, ShapeError> {
    let (mut net, mut from) = (Sequential::new(), channels);
    for to in widths {
        for from in [from, to] {
            net = net.add(convolution(from, to, 3, 1, false, rng)).add(BatchNorm2d::new(to)).add(Relu);
        }
        (net, from) = (net.add(MaxPool2d::new(2)), to);
    }
    net = net.add(Flatten);
    // Two, because batch normalization in training needs more than one element of each channel.
    let features = net.output_shape(Shape::from([2, channels, height, width]))?[1];
    Ok(net.add(Dropout::new(dropout, rng)).add(Linear::new(features, classes, rng)))
}
