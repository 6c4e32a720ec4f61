//! Pooling layers.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Pool2dOptions, Shape, ShapeError, Window, shape_rules};

use crate::layers::Pair;
use crate::module::{LayerKind, Module, Visitor};

/// The maximum of each window: (N,C,H,W) → (N,C,oh,ow).
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d(Pool2dOptions);

/// The mean of each window: (N,C,H,W) → (N,C,oh,ow).
#[derive(Clone, Copy, Debug)]
pub struct AvgPool2d(Pool2dOptions);

/// The maximum of each window, for an output of this size: (N,C,H,W) → (N,C,oh,ow). `[1, 1]` is global max pooling.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveMaxPool2d(pub [usize; 2]);

/// Average pooling to an output of this size: (N,C,H,W) → (N,C,oh,ow). `[1, 1]` is global average pooling.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool2d(pub [usize; 2]);

fn pooled(x: Shape, windows: &[Vec<Window>; 2]) -> Shape {
    x.with(2, windows[0].len()).with(3, windows[1].len())
}

macro_rules! settings {
    ($layer:ident, $padding:literal) => {
        impl $layer {
            /// Windows of this size, with a stride of the same size and no padding.
            pub fn new(kernel: impl Into<Pair>) -> Self {
                let Pair(kernel) = kernel.into();
                Self(kernel.into())
            }
            /// The distance between neighboring windows.
            #[must_use]
            pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
                self.0.stride = stride.into().0;
                self
            }
            #[doc = $padding]
            #[must_use]
            pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
                self.0.padding = padding.into().0;
                self
            }
            /// The distance between neighboring pixels of a window.
            #[must_use]
            pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
                self.0.dilation = dilation.into().0;
                self
            }
            /// Whether the number of windows is rounded up: a last one may reach beyond the padded image, if it starts in
            /// the image or before it.
            #[must_use]
            pub fn ceil_mode(mut self, ceil: bool) -> Self {
                self.0.ceil_mode = ceil;
                self
            }
        }
    };
}

settings!(MaxPool2d, "The rows and columns of −∞ added on each side.");
settings!(AvgPool2d, "The rows and columns of zeros added on each side.");

impl AvgPool2d {
    /// Whether a mean divides by the pixels of the window in the padded image (the default) or by those in the image.
    #[must_use]
    pub fn count_include_pad(mut self, count: bool) -> Self {
        self.0.count_include_pad = count;
        self
    }
}

impl<T: Float> Module<T> for MaxPool2d {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        x.max_pool2d(self.0)
    }
    fn visit(&self, _visitor: &mut Visitor<'_, T>) {}
    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        Ok(pooled(x, &shape_rules::pool2d("max_pool2d", x, self.0)?))
    }
    fn kind(&self) -> LayerKind<'_, T> {
        LayerKind::MaxPool2d(self.0)
    }
}

impl<T: Float> Module<T> for AvgPool2d {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        x.avg_pool2d(self.0)
    }
    fn visit(&self, _visitor: &mut Visitor<'_, T>) {}
    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        Ok(pooled(x, &shape_rules::pool2d("avg_pool2d", x, self.0)?))
    }
}

macro_rules! adaptive {
    ($layer:ident, $op:ident) => {
        impl<T: Float> Module<T> for $layer {
            #[track_caller]
            fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
                x.$op(self.0)
            }
            fn visit(&self, _visitor: &mut Visitor<'_, T>) {}
            fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
                Ok(pooled(x, &shape_rules::adaptive_pool2d(stringify!($op), x, self.0)?))
            }
        }
    };
}

adaptive!(AdaptiveMaxPool2d, adaptive_max_pool2d);
adaptive!(AdaptiveAvgPool2d, adaptive_avg_pool2d);
