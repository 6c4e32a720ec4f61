//! Layers that only change the shape of images.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Shape, ShapeError};

use crate::module::{Module, Visitor};

/// All axes from the second on made one: (N,C,H,W) → (N, C·H·W).
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

impl<T: Float> Module<T> for Flatten {
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
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

/// Images enlarged by a whole factor: (N,C,H,W) → (N,C,H·factor,W·factor).
#[derive(Clone, Copy, Debug)]
pub enum Upsample {
    /// Every pixel repeated.
    Nearest(usize),
    /// Linear interpolation along both axes, corners not aligned.
    Bilinear(usize),
}

impl Upsample {
    fn size(self, x: Shape) -> [usize; 2] {
        let (Self::Nearest(factor) | Self::Bilinear(factor)) = self;
        [x[2] * factor, x[3] * factor]
    }
}

impl<T: Float> Module<T> for Upsample {
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        match self {
            Self::Nearest(_) => x.upsample_nearest2d(self.size(x.shape())),
            Self::Bilinear(_) => x.upsample_bilinear2d(self.size(x.shape()), false),
        }
    }
    fn visit(&self, _visitor: &mut Visitor<'_, T>) {}
    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        if x.rank() != 4 || x.numel() == 0 || self.size(x).contains(&0) {
            return Err(ShapeError::new(format!(
                "upsample: an image of four axes, not empty, is enlarged\n  input (N,C,H,W) = {x}\n  rule: the factor is at least 1"
            )));
        }
        let [h, w] = self.size(x);
        Ok(x.with(2, h).with(3, w))
    }
}
