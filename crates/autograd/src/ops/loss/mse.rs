//! The mean squared error, and how losses are reduced.

use chainrule_tensor::Float;

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::open_with;

/// The reduction of the losses of single elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The mean (weighted, if there are weights).
    #[default]
    Mean,
    /// The sum.
    Sum,
    /// No reduction.
    None,
}

impl Reduction {
    /// This reduction as an attribute of a loss.
    pub(crate) fn attribute(self) -> Attribute {
        let name = match self {
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::None => "none",
        };
        Attribute::new("reduction", name)
    }

    /// Applies this reduction; the mean is over all elements.
    pub(crate) fn of<T: Float>(self, losses: VarOf<T>) -> VarOf<T> {
        match self {
            Self::Mean => losses.mean(),
            Self::Sum => losses.sum(),
            Self::None => losses,
        }
    }
}

impl<T: Float> VarOf<T> {
    /// The squared error `(x − t)²`, reduced; `dx = 2(x − t) · dy`, divided by n for the mean.
    ///
    /// # Panics
    /// If the shapes differ: there is no broadcasting, since here it would usually be a mistake.
    #[track_caller]
    #[must_use]
    pub fn mse_loss(&self, target: &Self, reduction: Reduction) -> Self {
        same_shape("mse_loss", self, target);
        let _scope = open_with("mse_loss", || vec![reduction.attribute()]);
        reduction.of((self - target).square())
    }
}

/// Panics if input and target of a loss differ in shape.
#[track_caller]
pub(crate) fn same_shape<T: Float>(op: &str, input: &VarOf<T>, target: &VarOf<T>) {
    let (input, target) = (input.shape(), target.shape());
    assert!(
        input == target,
        "{op}: shapes differ\n  input  = {input}\n  target = {target}\n  rule: the shapes are equal"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var64;

    #[test]
    fn by_hand() {
        let (x, t) = (Var64::parameter("x", [1.0, 4.0]), Var64::constant([0.0, 1.0]));
        let loss = x.mse_loss(&t, Reduction::Mean);
        assert_eq!(loss.item(), 5.0);
        assert_eq!(loss.backward()[&x].to_vec(), [1.0, 3.0]);
        assert_eq!(x.mse_loss(&t, Reduction::None).value().to_vec(), [1.0, 9.0]);
    }
}
