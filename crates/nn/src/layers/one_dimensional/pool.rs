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
