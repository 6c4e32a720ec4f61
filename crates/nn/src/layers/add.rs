//! Residual connections.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Shape, ShapeError, shape_rules};

use crate::module::{LayerKind, Module, Visitor};

/// `x + residual`, as at the end of a block of a residual network. It borrows the residual, for use in a
/// [`chain`](crate::chain).
pub struct Add<'a, T: Float = f32>(pub &'a VarOf<T>);

impl<T: Float> Module<T> for Add<'_, T> {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        x + self.0
    }
    fn visit(&self, _visitor: &mut Visitor<'_, T>) {}
    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        shape_rules::broadcast("add", x, self.0.shape())
    }
    fn kind(&self) -> LayerKind<'_, T> {
        LayerKind::Add(self.0)
    }
}
