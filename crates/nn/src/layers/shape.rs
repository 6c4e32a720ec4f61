//! Layers that only change the shape of images.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Shape, ShapeError};

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
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        let size = self.size(x.shape()).unwrap_or_else(|error| panic!("{error}"));
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
