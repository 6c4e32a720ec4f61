//! Convolution and transposed convolution of sequences.

use std::marker::PhantomData;

use chainrule_autograd::VarOf;
use chainrule_tensor::{Conv2dOptions, Float, Rng, Shape, ShapeError, shape_rules};

use super::{as_image, image, sequence};
use crate::layers::conv::{Settings, show};
use crate::module::{Module, Visitor};

/// A convolution of sequences: x (N,C,L) → y (N,O,ol), `ol = ⌊(L + 2·padding − dilation·(k − 1) − 1)/stride⌋ + 1`.
///
/// Weight and bias are initialized uniformly on ±1/√(C/groups·k), as in `PyTorch`.
///
/// ```
/// use chainrule_nn::Conv1d;
/// use chainrule_tensor::Rng;
/// let conv: Conv1d = Conv1d::builder(4, 8, 3).padding(1).build(&mut Rng::seed(0));
/// assert_eq!(conv.weight.shape(), [8, 4, 3]);
/// ```
pub struct Conv1d<T: Float = f32> {
    /// (O, C/groups, k).
    pub weight: VarOf<T>,
    /// (O).
    pub bias: Option<VarOf<T>>,
    /// Stride, padding, dilation and groups, of an image with one row.
    options: Conv2dOptions,
}

/// A transposed convolution of sequences: x (N,C,L) → y (N,O,ol), `ol = (L − 1)·stride − 2·padding + dilation·(k − 1) + 1 +
/// output_padding`.
///
/// Weight and bias are initialized uniformly on ±1/√(O/groups·k), as in `PyTorch`.
///
/// ```
/// use chainrule_nn::ConvTranspose1d;
/// use chainrule_tensor::Rng;
/// let conv: ConvTranspose1d = ConvTranspose1d::builder(4, 8, 3).stride(2).build(&mut Rng::seed(0));
/// assert_eq!(conv.weight.shape(), [4, 8, 3]);
/// ```
pub struct ConvTranspose1d<T: Float = f32> {
    /// (C, O/groups, k).
    pub weight: VarOf<T>,
    /// (O).
    pub bias: Option<VarOf<T>>,
    /// Stride, padding, dilation and groups, of the convolution of images with one row from y's shape to x's.
    options: Conv2dOptions,
    /// Of an image with one row.
    output_padding: [usize; 2],
}

/// Builds a [`Conv1d`].
#[derive(Clone, Copy, Debug)]
pub struct Conv1dBuilder<T: Float = f32>(Settings, PhantomData<T>);

/// Builds a [`ConvTranspose1d`].
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose1dBuilder<T: Float = f32>(Settings, PhantomData<T>);

macro_rules! settings {
    ($layer:ident, $builder:ident, $name:literal) => {
        impl<T: Float> $layer<T> {
            #[doc = concat!("A ", $name, " of stride 1 without padding, with a bias.")]
            pub fn new(channels_in: usize, channels_out: usize, kernel: usize, rng: &mut Rng) -> Self {
                Self::builder(channels_in, channels_out, kernel).build(rng)
            }
            #[doc = concat!("A ", $name, " with further settings.")]
            pub fn builder(channels_in: usize, channels_out: usize, kernel: usize) -> $builder<T> {
                $builder(Settings::new(channels_in, channels_out, [1, kernel]), PhantomData)
            }
        }

        impl<T: Float> $builder<T> {
            /// The distance between neighboring windows.
            #[must_use]
            pub fn stride(mut self, stride: usize) -> Self {
                self.0.options.stride[1] = stride;
                self
            }
            /// The zeros added at each end.
            #[must_use]
            pub fn padding(mut self, padding: usize) -> Self {
                self.0.options.padding[1] = padding;
                self
            }
            /// The distance between neighboring elements of the kernel.
            #[must_use]
            pub fn dilation(mut self, dilation: usize) -> Self {
                self.0.options.dilation[1] = dilation;
                self
            }
            /// The number of groups of channels, which are convolved independently.
            #[must_use]
            pub fn groups(mut self, groups: usize) -> Self {
                self.0.options.groups = groups;
                self
            }
            /// Whether the layer has a bias.
            #[must_use]
            pub fn bias(mut self, bias: bool) -> Self {
                self.0.bias = bias;
                self
            }
        }
    };
}

settings!(Conv1d, Conv1dBuilder, "convolution");
settings!(ConvTranspose1d, ConvTranspose1dBuilder, "transposed convolution");

impl<T: Float> Conv1dBuilder<T> {
    /// The layer, its weights drawn.
    ///
    /// # Panics
    /// If channels cannot be divided among the groups.
    #[track_caller]
    pub fn build(self, rng: &mut Rng) -> Conv1d<T> {
        let [channels_in, channels_out] = self.0.channels;
        let (weight, bias) = self.0.draw([channels_out, channels_in], 1.., rng);
        Conv1d { weight, bias, options: self.0.options }
    }
}

impl<T: Float> ConvTranspose1dBuilder<T> {
    /// Elements added at the end of the output.
    #[must_use]
    pub fn output_padding(mut self, padding: usize) -> Self {
        self.0.output_padding[1] = padding;
        self
    }

    /// The layer, its weights drawn.
    ///
    /// # Panics
    /// If channels cannot be divided among the groups.
    #[track_caller]
    pub fn build(self, rng: &mut Rng) -> ConvTranspose1d<T> {
        let (weight, bias) = self.0.draw(self.0.channels, 1.., rng);
        ConvTranspose1d { weight, bias, options: self.0.options, output_padding: self.0.output_padding }
    }
}

/// The shape of a weight (.., .., k) for images with one row.
fn of_images(weight: Shape) -> Shape {
    Shape::from([weight[0], weight[1], 1, weight[2]])
}

impl<T: Float> Module<T> for Conv1d<T> {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        let weight = self.weight.unsqueeze(2);
        as_image(x, self.output_shape(x.shape()), |x| x.conv2d(&weight, self.bias.as_ref(), self.options))
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        show(&self.weight, self.bias.as_ref(), visitor);
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let (w, bias) = (of_images(self.weight.shape()), self.bias.as_ref().map(VarOf::shape));
        sequence("Conv1d", shape_rules::conv2d(image("Conv1d", x)?, w, bias, self.options))
    }
}

impl<T: Float> Module<T> for ConvTranspose1d<T> {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        let (weight, bias) = (self.weight.unsqueeze(2), self.bias.as_ref());
        as_image(x, self.output_shape(x.shape()), |x| {
            x.conv_transpose2d(&weight, bias, self.options, self.output_padding)
        })
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        show(&self.weight, self.bias.as_ref(), visitor);
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let (x, w) = (image("ConvTranspose1d", x)?, of_images(self.weight.shape()));
        let bias = self.bias.as_ref().map(VarOf::shape);
        let y = shape_rules::conv_transpose2d(x, w, bias, self.options, self.output_padding);
        sequence("ConvTranspose1d", y)
    }
}
