//! A convolution and its batch normalization.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Shape, ShapeError};

use super::batch_norm::{BatchNorm, Then};
use crate::layers::{BatchNorm2d, Conv2d};
use crate::module::Module;

/// A convolution and the batch normalization of its result, and if wanted relu: (N,C,H,W) → (N,O,oh,ow).
///
/// What it computes is what the layers compute one after the other; but together a GPU sums up each channel's statistics
/// while the convolution's result is still in registers. Names of parameters begin with `conv.` and `bn.`.
///
/// ```
/// use chainrule_nn::{Conv2d, ConvBatchNorm2d, Module};
/// use chainrule_tensor::{Rng, Shape};
/// let conv: Conv2d = Conv2d::builder(3, 16, 3).padding(1).bias(false).build(&mut Rng::seed(0));
/// let layer = ConvBatchNorm2d::new(conv).relu();
/// assert_eq!(layer.output_shape(Shape::from([64, 3, 32, 32])).unwrap(), [64, 16, 32, 32]);
/// ```
pub struct ConvBatchNorm2d<T: Float = f32> {
    /// The convolution; β makes a bias superfluous.
    pub conv: Conv2d<T>,
    /// The normalization of its result.
    pub bn: BatchNorm2d<T>,
    relu: bool,
}

impl<T: Float> ConvBatchNorm2d<T> {
    /// A convolution and a normalization of its channels as [`BatchNorm2d::new`] makes it.
    pub fn new(conv: Conv2d<T>) -> Self {
        let bn = BatchNorm2d::new(conv.weight.shape()[0]);
        Self { conv, bn, relu: false }
    }

    /// With relu at the end.
    #[must_use]
    pub fn relu(self) -> Self {
        Self { relu: true, ..self }
    }

    /// `relu(forward(x) + residual)` in the same pass, as at the end of a block of a residual network: the residual has the
    /// shape of the result.
    #[track_caller]
    pub fn forward_add_relu(&self, x: &VarOf<T>, residual: &VarOf<T>) -> VarOf<T> {
        self.convolve(x, &Then::Relu(Some(residual)))
    }

    #[track_caller]
    fn convolve(&self, x: &VarOf<T>, then: &Then<'_, T>) -> VarOf<T> {
        let Self { conv, bn: BatchNorm2d(bn), .. } = self;
        let between = self.output_shape(x.shape()).unwrap_or_else(|error| panic!("{error}"));
        if !bn.is_training() {
            return bn.infer(&conv.forward(x), then);
        }
        let (Conv2d { weight, bias, options }, BatchNorm { weight: gamma, bias: beta, eps, .. }) = (conv, bn);
        bn.train("ConvBatchNorm2d", between, || match then {
            Then::Nothing => x.conv2d_batch_norm(weight, bias.as_ref(), *options, [gamma, beta], *eps),
            Then::Relu(residual) => {
                x.conv2d_batch_norm_relu(weight, bias.as_ref(), *options, [gamma, beta], *eps, *residual)
            }
        })
    }
}

impl<T: Float> Module<T> for ConvBatchNorm2d<T> {
    crate::children!(T: conv, bn);

    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        self.convolve(x, if self.relu { &Then::Relu(None) } else { &Then::Nothing })
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        self.bn.output_shape(self.conv.output_shape(x)?)
    }
}
