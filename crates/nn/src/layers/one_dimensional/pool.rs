//! Pooling of sequences.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Pool2dOptions, Shape, ShapeError, shape_rules};

use super::{as_image, image, sequence};
use crate::module::{Module, Visitor};

/// The maximum of each window: (N,C,L) → (N,C,ol).
#[derive(Clone, Copy, Debug)]
pub struct MaxPool1d(Pool2dOptions);

/// The mean of each window: (N,C,L) → (N,C,ol).
#[derive(Clone, Copy, Debug)]
pub struct AvgPool1d(Pool2dOptions);

/// The maximum of each window, for an output of this length: (N,C,L) → (N,C,ol). 1 is global max pooling.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveMaxPool1d(pub usize);

/// The mean of each window, for an output of this length: (N,C,L) → (N,C,ol). 1 is global average pooling.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool1d(pub usize);

impl AvgPool1d {
    /// Whether a mean divides by the elements of the window in the padded sequence (the default) or by those in the
    /// sequence.
    #[must_use]
    pub fn count_include_pad(mut self, count: bool) -> Self {
        self.0.count_include_pad = count;
        self
    }
}

macro_rules! settings {
    ($layer:ident, $padding:literal) => {
        impl $layer {
            /// Windows of this size, with a stride of the same size and no padding.
            pub fn new(kernel: usize) -> Self {
                Self([1, kernel].into())
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
            /// The distance between neighboring elements of a window.
            #[must_use]
            pub fn dilation(mut self, dilation: usize) -> Self {
                self.0.dilation[1] = dilation;
                self
            }
            /// Whether the number of windows is rounded up: a last one may reach beyond the padded sequence, if it starts
            /// in the sequence or before it.
            #[must_use]
            pub fn ceil_mode(mut self, ceil: bool) -> Self {
                self.0.ceil_mode = ceil;
                self
            }
        }
    };
}

settings!(MaxPool1d, "The elements −∞ added at each end.");
settings!(AvgPool1d, "The zeros added at each end.");

/// The module of a layer: the windows are those of `rule` with the image's `arguments`.
macro_rules! pool {
    ($layer:ident, $op:ident, $rule:ident, |$settings:ident| $arguments:expr) => {
        impl<T: Float> Module<T> for $layer {
            #[track_caller]
            fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
                let $settings = self.0;
                as_image(x, Module::<T>::output_shape(self, x.shape()), |x| x.$op($arguments))
            }
            fn visit(&self, _visitor: &mut Visitor<'_, T>) {}
            fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
                let (x, $settings) = (image(stringify!($layer), x)?, self.0);
                let windows = shape_rules::$rule(stringify!($op), x, $arguments);
                sequence(stringify!($layer), windows.map(|[_, windows]| x.with(3, windows.len())))
            }
        }
    };
}

pool!(MaxPool1d, max_pool2d, pool2d, |options| options);
pool!(AvgPool1d, avg_pool2d, pool2d, |options| options);
pool!(AdaptiveMaxPool1d, adaptive_max_pool2d, adaptive_pool2d, |length| [1, length]);
pool!(AdaptiveAvgPool1d, adaptive_avg_pool2d, adaptive_pool2d, |length| [1, length]);
