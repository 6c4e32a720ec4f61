//! Convolution and pooling of sequences: those of images with one row.

use std::marker::PhantomData;

use chainrule_autograd::VarOf;
use chainrule_tensor::{Conv2dOptions, Float, OrPanic, Pool2dOptions, Rng, Shape, ShapeError, shape_rules};

use crate::init::uniform_tensor;
use crate::module::{Item, Module, Visitor};

/// The shape (N,C,1,L) of a sequence (N,C,L) as an image.
fn image(op: &str, x: Shape) -> Result<Shape, ShapeError> {
    if x.rank() != 3 {
        return Err(ShapeError::new(format!("{op}: the input has shape {x}\n  rule: input (N,C,L)")));
    }
    Ok(Shape::from([x[0], x[1], 1, x[2]]))
}

/// The result for the image of a shape rule, as that of a sequence.
fn sequence(op: &str, image: Result<Shape, ShapeError>) -> Result<Shape, ShapeError> {
    match image {
        Ok(y) => Ok(Shape::from([y[0], y[1], y[3]])),
        Err(error) => Err(ShapeError::new(format!("{op}, of an image with one row: {error}"))),
    }
}

/// Applies a map of images to a sequence.
#[track_caller]
fn as_image<T: Float>(
    x: &VarOf<T>,
    output: Result<Shape, ShapeError>,
    f: impl FnOnce(&VarOf<T>) -> VarOf<T>,
) -> VarOf<T> {
    let output = output.or_panic();
    f(&x.unsqueeze(2)).reshape(output)
}

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

/// Builds a [`Conv1d`].
#[derive(Clone, Copy, Debug)]
pub struct Conv1dBuilder<T: Float = f32> {
    channels: [usize; 2],
    kernel: usize,
    options: Conv2dOptions,
    bias: bool,
    element: PhantomData<T>,
}

impl<T: Float> Conv1dBuilder<T> {
    /// The distance between neighboring windows.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.options.stride[1] = stride;
        self
    }

    /// The zeros added at each end.
    #[must_use]
    pub fn padding(mut self, padding: usize) -> Self {
        self.options.padding[1] = padding;
        self
    }

    /// The distance between neighboring elements of the kernel.
    #[must_use]
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.options.dilation[1] = dilation;
        self
    }

    /// The number of groups of channels, which are convolved independently.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.options.groups = groups;
        self
    }

    /// Whether the layer has a bias.
    #[must_use]
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// The layer, its weights drawn.
    ///
    /// # Panics
    /// If channels cannot be divided among the groups.
    #[track_caller]
    pub fn build(self, rng: &mut Rng) -> Conv1d<T> {
        let Self { channels: [inputs, outputs], kernel, options, bias, .. } = self;
        let groups = options.groups;
        assert!(
            groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups),
            "convolution: {inputs} and {outputs} channels cannot be divided among {groups} groups\n  rule: both are multiples of the groups"
        );
        let bound = 1.0 / ((inputs / groups * kernel).max(1) as f64).sqrt();
        let weight = uniform_tensor([outputs, inputs / groups, kernel].into(), -bound, bound, rng);
        let biases = uniform_tensor(outputs.into(), -bound, bound, rng);
        let bias = bias.then(|| VarOf::parameter("bias", biases));
        Conv1d { weight: VarOf::parameter("weight", weight), bias, options }
    }
}

impl<T: Float> Conv1d<T> {
    /// A convolution of stride 1 without padding, with a bias.
    pub fn new(channels_in: usize, channels_out: usize, kernel: usize, rng: &mut Rng) -> Self {
        Self::builder(channels_in, channels_out, kernel).build(rng)
    }

    /// A convolution with further settings.
    pub fn builder(channels_in: usize, channels_out: usize, kernel: usize) -> Conv1dBuilder<T> {
        let options = Conv2dOptions::default();
        Conv1dBuilder { channels: [channels_in, channels_out], kernel, options, bias: true, element: PhantomData }
    }
}

impl<T: Float> Module<T> for Conv1d<T> {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        let weight = self.weight.unsqueeze(2);
        as_image(x, self.output_shape(x.shape()), |x| x.conv2d(&weight, self.bias.as_ref(), self.options))
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        visitor.item("weight", Item::Parameter(&self.weight));
        if let Some(bias) = &self.bias {
            visitor.item("bias", Item::Parameter(bias));
        }
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let (w, bias) = (self.weight.shape(), self.bias.as_ref().map(VarOf::shape));
        let w = Shape::from([w[0], w[1], 1, w[2]]);
        sequence("Conv1d", shape_rules::conv2d(image("Conv1d", x)?, w, bias, self.options))
    }
}

/// The maximum of each window: (N,C,L) → (N,C,ol).
#[derive(Clone, Copy, Debug)]
pub struct MaxPool1d(Pool2dOptions);

/// The mean of each window: (N,C,L) → (N,C,ol).
#[derive(Clone, Copy, Debug)]
pub struct AvgPool1d(Pool2dOptions);

impl AvgPool1d {
    /// Whether a mean divides by the size of the whole window (the default) or by its part inside the sequence.
    #[must_use]
    pub fn count_include_pad(mut self, count: bool) -> Self {
        self.0.count_include_pad = count;
        self
    }
}

macro_rules! pool {
    ($layer:ident, $method:ident, $op:literal, $padding:literal) => {
        impl $layer {
            /// Windows of this size, with a stride of the same size and no padding.
            pub fn new(kernel: usize) -> Self {
                let kernel = [1, kernel];
                Self(Pool2dOptions { kernel, stride: kernel, padding: [0, 0], count_include_pad: true })
            }
            /// The distance between neighboring windows.
            #[must_use]
            pub fn stride(mut self, stride: usize) -> Self {
                self.0.stride[1] = stride;
                self
            }
            #[doc = $padding]
            #[must_use]
            pub fn padding(mut self, padding: usize) -> Self {
                self.0.padding[1] = padding;
                self
            }
        }

        impl<T: Float> Module<T> for $layer {
            #[track_caller]
            fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
                as_image(x, Module::<T>::output_shape(self, x.shape()), |x| x.$method(self.0))
            }
            fn visit(&self, _visitor: &mut Visitor<'_, T>) {}
            fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
                let x = image(stringify!($layer), x)?;
                let pooled = shape_rules::pool2d($op, x, self.0).map(|[_, windows]| x.with(3, windows.len()));
                sequence(stringify!($layer), pooled)
            }
        }
    };
}

pool!(MaxPool1d, max_pool2d, "max_pool2d", "The elements −∞ added at each end.");
pool!(AvgPool1d, avg_pool2d, "avg_pool2d", "The zeros added at each end.");
