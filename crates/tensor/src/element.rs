//! The element types of tensors: scalars for which there are kernels.

use crate::kernel::{ElementKernels, FloatKernels};
use crate::scalar::{Real, Scalar};
use crate::tensor::TensorOf;

/// What a tensor can hold: `f32`, `f64`, `i32` (labels and indices) and `u8` (pixels and masks).
pub trait Element: Scalar + ElementKernels {
    /// A tensor's elements as this type; see [`TensorOf::cast`].
    #[doc(hidden)]
    fn cast<T: Element>(x: &TensorOf<T>) -> TensorOf<Self>;
}

/// `f32` or `f64`: what can be differentiated.
pub trait Float: Element + Real + FloatKernels {}

macro_rules! element {
    ($t:ty, $cast:ident) => {
        impl Element for $t {
            fn cast<T: Element>(x: &TensorOf<T>) -> TensorOf<Self> {
                ElementKernels::$cast(x)
            }
        }
    };
}

element!(f32, to_f32);
element!(f64, to_f64);
element!(i32, to_i32);
element!(u8, to_u8);

impl Float for f32 {}
impl Float for f64 {}
