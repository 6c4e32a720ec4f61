//! Convolution and transposed convolution.

use std::marker::PhantomData;
use std::ops::RangeFrom;

use chainrule_autograd::VarOf;
use chainrule_tensor::{Conv2dOptions, Float, Rng, Shape, ShapeError, shape_rules};

use crate::init::{fans, uniform_tensor};
use crate::layers::Pair;
use crate::module::{Item, LayerKind, Module, Visitor};

/// A convolution: x (N,C,H,W) → y (N,O,oh,ow).
///
/// Weight and bias are initialized uniformly on ±1/√(C/groups·kh·kw), as in `PyTorch`.
///
/// ```
/// use chainrule_nn::Conv2d;
/// use chainrule_tensor::Rng;
/// let mut rng = Rng::seed(0);
/// let conv: Conv2d = Conv2d::builder(1, 8, 3).padding(1).build(&mut rng);
/// assert_eq!(conv.weight.shape(), [8, 1, 3, 3]);
/// ```
pub struct Conv2d<T: Float = f32> {
    /// (O, C/groups, kh, kw).
    pub weight: VarOf<T>,
    /// (O).
    pub bias: Option<VarOf<T>>,
    /// Stride, padding, dilation and groups.
    pub options: Conv2dOptions,
}

/// The settings of a convolution or, with output padding, a transposed convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) channels: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) options: Conv2dOptions,
    pub(super) output_padding: [usize; 2],
    pub(super) bias: bool,
}

/// Builds a [`Conv2d`].
#[derive(Clone, Debug)]
pub struct Conv2dBuilder<T: Float = f32>(Settings, PhantomData<T>);

/// Builds a [`ConvTranspose2d`].
#[derive(Clone, Debug)]
pub struct ConvTranspose2dBuilder<T: Float = f32>(Settings, PhantomData<T>);

impl Settings {
    pub(super) fn new(channels_in: usize, channels_out: usize, kernel: [usize; 2]) -> Self {
        Self {
            channels: [channels_in, channels_out],
            kernel,
            options: Conv2dOptions::default(),
            output_padding: [0, 0],
            bias: true,
        }
    }

    /// A weight of shape (`first`, `second`/groups, kh, kw), or of these axes of the kernel, and a bias, both uniform on
    /// ±1/√(fan in).
    #[track_caller]
    pub(super) fn draw<T: Float>(
        &self,
        [first, second]: [usize; 2],
        axes: RangeFrom<usize>,
        rng: &mut Rng,
    ) -> (VarOf<T>, Option<VarOf<T>>) {
        let [channels_in, channels_out] = self.channels;
        let groups = self.options.groups;
        assert!(
            groups > 0 && channels_in % groups == 0 && channels_out % groups == 0,
            "convolution: {channels_in} and {channels_out} channels cannot be divided among {groups} groups\n  rule: both are multiples of the groups"
        );
        let shape = Shape::new(&[&[first, second / groups][..], &self.kernel[axes]].concat());
        let bound = 1.0 / (fans(shape).0.max(1) as f64).sqrt();
        let weight = VarOf::parameter("weight", uniform_tensor(shape, -bound, bound, rng));
        let bias = VarOf::parameter("bias", uniform_tensor(channels_out.into(), -bound, bound, rng));
        (weight, self.bias.then_some(bias))
    }
}

macro_rules! settings {
    ($builder:ident) => {
        impl<T: Float> $builder<T> {
            /// The distance between neighboring windows.
            #[must_use]
            pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
                self.0.options.stride = stride.into().0;
                self
            }
            /// The rows and columns of zeros added on each side.
            #[must_use]
            pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
                self.0.options.padding = padding.into().0;
                self
            }
            /// The distance between neighboring elements of the kernel.
            #[must_use]
            pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
                self.0.options.dilation = dilation.into().0;
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

settings!(Conv2dBuilder);
settings!(ConvTranspose2dBuilder);

impl<T: Float> Conv2dBuilder<T> {
    /// The layer, its weights drawn.
    ///
    /// # Panics
    /// If channels cannot be divided among the groups.
    #[track_caller]
    pub fn build(self, rng: &mut Rng) -> Conv2d<T> {
        let [channels_in, channels_out] = self.0.channels;
        let (weight, bias) = self.0.draw([channels_out, channels_in], 0.., rng);
        Conv2d { weight, bias, options: self.0.options }
    }
}

impl<T: Float> Conv2d<T> {
    /// A convolution of stride 1 without padding, with a bias.
    pub fn new(channels_in: usize, channels_out: usize, kernel: impl Into<Pair>, rng: &mut Rng) -> Self {
        Self::builder(channels_in, channels_out, kernel).build(rng)
    }

    /// A convolution with further settings.
    pub fn builder(channels_in: usize, channels_out: usize, kernel: impl Into<Pair>) -> Conv2dBuilder<T> {
        Conv2dBuilder(Settings::new(channels_in, channels_out, kernel.into().0), PhantomData)
    }
}

impl<T: Float> Module<T> for Conv2d<T> {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        x.conv2d(&self.weight, self.bias.as_ref(), self.options)
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        show(&self.weight, self.bias.as_ref(), visitor);
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        shape_rules::conv2d(x, self.weight.shape(), self.bias.as_ref().map(VarOf::shape), self.options)
    }

    fn kind(&self) -> LayerKind<'_, T> {
        LayerKind::Conv2d(&self.weight, self.bias.as_ref(), self.options)
    }
}

/// Visits the parameters of a convolution.
pub(super) fn show<T: Float>(weight: &VarOf<T>, bias: Option<&VarOf<T>>, visitor: &mut Visitor<'_, T>) {
    visitor.item("weight", Item::Parameter(weight));
    if let Some(bias) = bias {
        visitor.item("bias", Item::Parameter(bias));
    }
}

/// A transposed convolution: x (N,C,H,W) → y (N,O,oh,ow), `oh = (H − 1)·stride − 2·pad + dilation·(kh − 1) + 1 +
/// output_padding`.
///
/// Weight and bias are initialized uniformly on ±1/√(O/groups·kh·kw), as in `PyTorch`.
pub struct ConvTranspose2d<T: Float = f32> {
    /// (C, O/groups, kh, kw).
    pub weight: VarOf<T>,
    /// (O).
    pub bias: Option<VarOf<T>>,
    /// Stride, padding, dilation and groups, of the convolution from y's shape to x's.
    pub options: Conv2dOptions,
    /// Rows and columns added at the lower and right side of the output.
    pub output_padding: [usize; 2],
}

impl<T: Float> ConvTranspose2dBuilder<T> {
    /// Rows and columns added at the lower and right side of the output.
    #[must_use]
    pub fn output_padding(mut self, padding: impl Into<Pair>) -> Self {
        self.0.output_padding = padding.into().0;
        self
    }

    /// The layer, its weights drawn.
    ///
    /// # Panics
    /// If channels cannot be divided among the groups.
    #[track_caller]
    pub fn build(self, rng: &mut Rng) -> ConvTranspose2d<T> {
        let (weight, bias) = self.0.draw(self.0.channels, 0.., rng);
        ConvTranspose2d { weight, bias, options: self.0.options, output_padding: self.0.output_padding }
    }
}

impl<T: Float> ConvTranspose2d<T> {
    /// A transposed convolution of stride 1 without padding, with a bias.
    pub fn new(channels_in: usize, channels_out: usize, kernel: impl Into<Pair>, rng: &mut Rng) -> Self {
        Self::builder(channels_in, channels_out, kernel).build(rng)
    }

    /// A transposed convolution with further settings.
    pub fn builder(channels_in: usize, channels_out: usize, kernel: impl Into<Pair>) -> ConvTranspose2dBuilder<T> {
        ConvTranspose2dBuilder(Settings::new(channels_in, channels_out, kernel.into().0), PhantomData)
    }
}

impl<T: Float> Module<T> for ConvTranspose2d<T> {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        x.conv_transpose2d(&self.weight, self.bias.as_ref(), self.options, self.output_padding)
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        show(&self.weight, self.bias.as_ref(), visitor);
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let bias = self.bias.as_ref().map(VarOf::shape);
        shape_rules::conv_transpose2d(x, self.weight.shape(), bias, self.options, self.output_padding)
    }
}
