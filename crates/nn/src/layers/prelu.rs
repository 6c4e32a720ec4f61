//! The rectified linear unit whose slope is learned.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Shape, ShapeError, TensorOf, ranges};

use crate::module::{Item, Module, Visitor};

/// x where x > 0, else `w·x` with one learned slope w, or one for each channel of x (N,C,…) ([`prelu`](VarOf::prelu)).
pub struct PRelu<T: Float = f32> {
    /// (1) or (C).
    pub weight: VarOf<T>,
}

impl<T: Float> PRelu<T> {
    /// A layer with so many slopes, 1 or the number of channels, that begin at `init`; PyTorch's defaults are 1 and 0.25.
    ///
    /// # Panics
    /// If there is no slope, or `init` is infinite or NaN.
    #[track_caller]
    pub fn new(slopes: usize, init: f64) -> Self {
        ranges::check("PRelu", "init", init, ranges::FINITE);
        assert!(slopes > 0, "PRelu: there are 0 slopes\n  rule: 1, or the number of channels");
        Self { weight: VarOf::parameter("weight", TensorOf::full(slopes, T::from_f64(init))) }
    }
}

impl<T: Float> Module<T> for PRelu<T> {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        if let Err(error) = self.output_shape(x.shape()) {
            panic!("{error}");
        }
        x.prelu(&self.weight)
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        visitor.item("weight", Item::Parameter(&self.weight));
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let slopes = self.weight.shape()[0];
        if slopes == 1 || (x.rank() >= 2 && x[1] == slopes) {
            return Ok(x);
        }
        Err(ShapeError::new(format!(
            "PRelu: the shape of the input does not match\n  input = {x}\n  rule: input (N,C,…) with C == {slopes}"
        )))
    }
}
