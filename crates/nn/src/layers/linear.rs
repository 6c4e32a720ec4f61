//! The fully connected layer.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Rng, Shape, ShapeError, shape_rules};

use crate::init::uniform_tensor;
use crate::module::{Item, Module, Visitor};

/// `y = x·wᵀ + b`: x (N, inputs) → y (N, outputs).
///
/// Weight and bias are initialized uniformly on ±1/√inputs, as in `PyTorch`.
pub struct Linear<T: Float = f32> {
    /// (outputs, inputs).
    pub weight: VarOf<T>,
    /// (outputs).
    pub bias: Option<VarOf<T>>,
}

impl<T: Float> Linear<T> {
    /// A layer with a bias.
    pub fn new(inputs: usize, outputs: usize, rng: &mut Rng) -> Self {
        let bound = 1.0 / (inputs.max(1) as f64).sqrt();
        let weight = uniform_tensor([outputs, inputs].into(), -bound, bound, rng);
        let bias = uniform_tensor(outputs.into(), -bound, bound, rng);
        Self { weight: VarOf::parameter("weight", weight), bias: Some(VarOf::parameter("bias", bias)) }
    }

    /// A layer without a bias.
    pub fn without_bias(inputs: usize, outputs: usize, rng: &mut Rng) -> Self {
        Self { bias: None, ..Self::new(inputs, outputs, rng) }
    }
}

impl<T: Float> Module<T> for Linear<T> {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        x.linear(&self.weight, self.bias.as_ref())
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        visitor.item("weight", Item::Parameter(&self.weight));
        if let Some(bias) = &self.bias {
            visitor.item("bias", Item::Parameter(bias));
        }
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        shape_rules::linear(x, self.weight.shape(), self.bias.as_ref().map(VarOf::shape))
    }
}
