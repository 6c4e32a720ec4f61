//! Modules in the containers of the standard library, so that a field may be optional, repeated or of any type.

use std::sync::Arc;

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Shape, ShapeError};

use crate::chain::{self, LayerKind};
use crate::module::{Module, Visitor};

/// A pointer to a module is that module, under the same path.
macro_rules! pointer {
    ($pointer:ty) => {
        impl<T: Float, M: Module<T> + ?Sized> Module<T> for $pointer {
            fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
                (**self).forward(x)
            }
            fn visit(&self, visitor: &mut Visitor<'_, T>) {
                (**self).visit(visitor);
            }
            fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
                (**self).output_shape(x)
            }
            fn kind(&self) -> LayerKind<'_, T> {
                (**self).kind()
            }
        }
    };
}

pointer!(Box<M>);
pointer!(Arc<M>);
pointer!(&M);

/// The module under the option's own path, or none, whose output is its input.
impl<T: Float, M: Module<T>> Module<T> for Option<M> {
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        self.as_ref().map_or_else(|| x.clone(), |module| module.forward(x))
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        if let Some(module) = self {
            module.visit(visitor);
        }
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        self.as_ref().map_or(Ok(x), |module| module.output_shape(x))
    }

    fn kind(&self) -> LayerKind<'_, T> {
        self.as_ref().map_or(LayerKind::Other, Module::kind)
    }
}

/// Modules one after the other; their paths are "0", "1", ….
impl<T: Float, M: Module<T>> Module<T> for Vec<M> {
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        chain::forward(self, x)
    }
    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        visit(self, visitor);
    }
    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        output_shape(self, x)
    }
}

/// Modules one after the other; their paths are "0", "1", ….
impl<T: Float, M: Module<T>, const N: usize> Module<T> for [M; N] {
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        chain::forward(self, x)
    }
    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        visit(self, visitor);
    }
    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        output_shape(self, x)
    }
}

fn visit<T: Float, M: Module<T>>(modules: &[M], visitor: &mut Visitor<'_, T>) {
    for (i, module) in modules.iter().enumerate() {
        visitor.child(&i.to_string(), module);
    }
}

fn output_shape<T: Float, M: Module<T>>(modules: &[M], x: Shape) -> Result<Shape, ShapeError> {
    modules.iter().enumerate().try_fold(x, |x, (i, module)| {
        module.output_shape(x).map_err(|error| ShapeError::new(format!("layer {i}: {error}")))
    })
}
