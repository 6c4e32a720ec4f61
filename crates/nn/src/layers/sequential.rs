//! Layers in sequence.

use std::ops::Index;

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Shape, ShapeError};

use crate::module::{Module, Visitor};

/// Layers in sequence; their paths are "0", "1", …. Fuses layers like [`chain`](crate::chain).
///
/// ```
/// use chainrule_nn::{Activation, Linear, Module, Sequential};
/// use chainrule_tensor::{Rng, Tensor};
/// let mut rng = Rng::seed(0);
/// let net: Sequential =
///     Sequential::new().add(Linear::new(4, 8, &mut rng)).add(Activation::Tanh).add(Linear::new(8, 2, &mut rng));
/// assert_eq!(net.forward(&Tensor::zeros([5, 4]).into()).shape(), [5, 2]);
/// ```
#[derive(Default)]
pub struct Sequential<T: Float = f32>(Vec<Box<dyn Module<T>>>);

impl<T: Float> Sequential<T> {
    /// No layers: the identity.
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends a layer.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "adds a layer; there is no sum of networks")]
    pub fn add(mut self, layer: impl Module<T> + 'static) -> Self {
        self.0.push(Box::new(layer));
        self
    }

    /// The layers.
    pub fn layers(&self) -> &[Box<dyn Module<T>>] {
        &self.0
    }
}

impl<T: Float> From<Vec<Box<dyn Module<T>>>> for Sequential<T> {
    fn from(layers: Vec<Box<dyn Module<T>>>) -> Self {
        Self(layers)
    }
}

impl<T: Float> Index<usize> for Sequential<T> {
    type Output = dyn Module<T>;

    /// The layer with this index.
    fn index(&self, i: usize) -> &Self::Output {
        &*self.0[i]
    }
}

impl<T: Float> Module<T> for Sequential<T> {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        self.0.forward(x)
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        self.0.visit(visitor);
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        self.0.output_shape(x)
    }

    fn stages(&self) -> Vec<(String, &dyn Module<T>)> {
        self.0.stages()
    }
}
