//! Layers that only change the shape of images.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, OrPanic, Shape, ShapeError};

use crate::module::{Module, Visitor};

/// Merges all axes from the second on: (N,C,H,W) → (N, C·H·W).
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

impl<T: Float> Module<T> for Flatten {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        if let Err(error) = Module::<T>::output_shape(self, x.shape()) {
            panic!("{error}");
        }
        x.flatten()
    }
    fn visit(&self, _visitor: &mut Visitor<'_, T>) {}
    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        if x.rank() < 2 {
            return Err(ShapeError::new(format!("flatten: the input has shape {x}\n  rule: at least two axes")));
        }
        Ok(Shape::from([x[0], x[1..].iter().product()]))
    }
}

/// Upsampling of images by an integer factor: (N,C,H,W) → (N,C,H·factor,W·factor).
#[derive(Clone, Copy, Debug)]
pub enum Upsample {
    /// Repeats each pixel.
    Nearest(usize),
    /// Linear interpolation along both axes, without aligned corners.
    Bilinear(usize),
}

impl Upsample {
    /// The size of the output; an error if x is not a batch of images or the size overflows.
    fn size(self, x: Shape) -> Result<[usize; 2], ShapeError> {
        let (Self::Nearest(factor) | Self::Bilinear(factor)) = self;
        let enlarged = |axis: usize| x.get(axis)?.checked_mul(factor).filter(|&len| len > 0);
        match (x.rank(), enlarged(2), enlarged(3)) {
            (4, Some(h), Some(w)) => Ok([h, w]),
            _ => Err(ShapeError::new(format!(
                "upsample: expected images with four axes that are not empty, and a positive factor\n  input (N,C,H,W) = {x}\n  factor {factor}\n  rule: H, W, factor ≥ 1"
            ))),
        }
    }
}

impl<T: Float> Module<T> for Upsample {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        let size = self.size(x.shape()).or_panic();
        match self {
            Self::Nearest(_) => x.upsample_nearest2d(size),
            Self::Bilinear(_) => x.upsample_bilinear2d(size, false),
        }
    }
    fn visit(&self, _visitor: &mut Visitor<'_, T>) {}
    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let [h, w] = self.size(x)?;
        Ok(x.with(2, h).with(3, w))
    }
}

macro_rules! pixels {
    ($(#[$doc:meta])* $name:ident, $method:ident, $rule:literal, |$x:ident, $r:ident| $fits:expr, $sizes:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name(pub usize);

        impl<T: Float> Module<T> for $name {
            #[track_caller]
            fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
                if let Err(error) = Module::<T>::output_shape(self, x.shape()) {
                    panic!("{error}");
                }
                x.$method(self.0)
            }
            fn visit(&self, _visitor: &mut Visitor<'_, T>) {}
            fn output_shape(&self, $x: Shape) -> Result<Shape, ShapeError> {
                let $r = self.0;
                if $x.rank() == 4 && $r > 0 && $fits {
                    return Ok(Shape::from($sizes));
                }
                Err(ShapeError::new(format!(
                    "{}: the input does not fit\n  input (N,C,H,W) = {}\n  factor r = {}\n  rule: {}, r ≥ 1",
                    stringify!($name), $x, $r, $rule
                )))
            }
        }
    };
}

pixels!(
    /// Makes r² channels into r×r pixels of one: (N,C·r²,H,W) → (N,C,H·r,W·r) ([`pixel_shuffle`](VarOf::pixel_shuffle)).
    PixelShuffle,
    pixel_shuffle,
    "C is a multiple of r²",
    |x, r| r.checked_mul(r).is_some_and(|square| x[1].is_multiple_of(square)),
    [x[0], x[1] / (r * r), x[2] * r, x[3] * r]
);

pixels!(
    /// Makes r×r pixels into r² channels of one: (N,C,H·r,W·r) → (N,C·r²,H,W), the inverse of [`PixelShuffle`].
    PixelUnshuffle,
    pixel_unshuffle,
    "H and W are multiples of r",
    |x, r| x[2].is_multiple_of(r) && x[3].is_multiple_of(r),
    [x[0], x[1] * r * r, x[2] / r, x[3] / r]
);
