//! `Module` for containers of the standard library: optional, repeated and boxed modules.

use std::sync::Arc;

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Shape, ShapeError};

use crate::chain;
use crate::module::{LayerKind, Module, Visitor};

/// Implements `Module` for a pointer to a module, under the same path.
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
            fn stages(&self) -> Vec<(String, &dyn Module<T>)> {
                (**self).stages()
            }
        }
    };
}

pointer!(Box<M>);
pointer!(Arc<M>);
pointer!(&M);

/// The module under the path of the option. `None` is the identity.
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

    fn stages(&self) -> Vec<(String, &dyn Module<T>)> {
        self.as_ref().map_or_else(Vec::new, Module::stages)
    }
}

/// Modules in sequence; their paths are "0", "1", ….
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
    fn stages(&self) -> Vec<(String, &dyn Module<T>)> {
        stages(self)
    }
}

/// Modules in sequence; their paths are "0", "1", ….
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
    fn stages(&self) -> Vec<(String, &dyn Module<T>)> {
        stages(self)
    }
}

fn visit<T: Float, M: Module<T>>(modules: &[M], visitor: &mut Visitor<'_, T>) {
    for (i, module) in modules.iter().enumerate() {
        visitor.child(&i.to_string(), module);
    }
}

fn stages<T: Float, M: Module<T>>(modules: &[M]) -> Vec<(String, &dyn Module<T>)> {
    modules.iter().enumerate().map(|(i, module)| (i.to_string(), module as &dyn Module<T>)).collect()
}

fn output_shape<T: Float, M: Module<T>>(modules: &[M], x: Shape) -> Result<Shape, ShapeError> {
    modules.iter().enumerate().try_fold(x, |x, (i, module)| {
        module.output_shape(x).map_err(|error| ShapeError::new(format!("layer {i}: {error}")))
    })
}
