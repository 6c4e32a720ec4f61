//! Which parameters a backward pass reached.

use std::fmt;

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_tensor::{Float, Shape, TensorOf};

use crate::module::Module;

/// What a backward pass did for a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach {
    /// It has a gradient with this 2-norm, above 0 (or NaN).
    Reached(f64),
    /// All elements of its gradient are 0: what depends on it is cut off by zeros, such as those of a ReLU whose inputs are all
    /// negative, or of a weight that is initialized with 0.
    Zero,
    /// It has no gradient: the loss was not computed from it. The layer is not used, or its output was detached.
    NotReached,
    /// It has none because it is frozen.
    Frozen,
}

impl Reach {
    /// Of a parameter in the gradients of a loss; synchronizes with a GPU.
    pub fn of<T: Float>(parameter: &VarOf<T>, gradients: &GradientsOf<T>) -> Self {
        match gradients.get(parameter) {
            None if parameter.requires_grad() => Self::NotReached,
            None => Self::Frozen,
            Some(gradient) => match TensorOf::norm(&[gradient]).item() {
                0.0 => Self::Zero,
                norm => Self::Reached(norm),
            },
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached(norm) => f.pad(&format!("{norm:.3e}")),
            Self::Zero => f.pad("zero"),
            Self::NotReached => f.pad("not reached"),
            Self::Frozen => f.pad("frozen"),
        }
    }
}

/// What a backward pass did for each parameter of a net: reached with a norm, zero, not reached, or frozen. As text it is a
/// table.
///
/// ```
/// use chainrule_autograd::Var;
/// use chainrule_nn::{GradientReport, Linear, Module, Reach, children};
/// use chainrule_tensor::{Rng, Tensor};
///
/// struct Net { used: Linear, forgotten: Linear }
/// impl Module for Net {
///     children!(used, forgotten);
///     fn forward(&self, x: &Var) -> Var {
///         self.used.forward(x)
///     }
/// }
///
/// let mut rng = Rng::seed(0);
/// let net = Net { used: Linear::new(4, 2, &mut rng), forgotten: Linear::new(4, 2, &mut rng) };
/// let gradients = net.forward(&Tensor::ones([3, 4]).into()).sum().backward();
/// let report = GradientReport::of(&net, &gradients);
/// let missing: Vec<&str> = report.not_reached().collect();
/// assert_eq!(missing, ["forgotten.weight", "forgotten.bias"]);
/// println!("{report}");
/// // path              shape   gradient
/// // used.weight       (2, 4)  8.485e0
/// // used.bias         (2,)    4.243e0
/// // forgotten.weight  (2, 4)  not reached
/// // forgotten.bias    (2,)    not reached
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GradientReport(pub Vec<GradientRow>);

/// A row of a [`GradientReport`].
#[derive(Clone, Debug, PartialEq)]
pub struct GradientRow {
    /// The path of the parameter, such as `conv1.weight`.
    pub path: String,
    /// Its shape.
    pub shape: Shape,
    /// What the backward pass did for it.
    pub reach: Reach,
}

impl GradientReport {
    /// For the parameters of a net, in their order, and the gradients of a loss; synchronizes with a GPU.
    pub fn of<T: Float>(net: &dyn Module<T>, gradients: &GradientsOf<T>) -> Self {
        let row = |(path, parameter): (String, VarOf<T>)| GradientRow {
            path,
            shape: parameter.shape(),
            reach: Reach::of(&parameter, gradients),
        };
        Self(net.named_parameters().into_iter().map(row).collect())
    }

    /// The paths of the parameters that the loss was not computed from, though they are not frozen.
    pub fn not_reached(&self) -> impl Iterator<Item = &str> {
        self.paths(Reach::NotReached)
    }

    /// The paths of the parameters whose gradient is 0.
    pub fn zero(&self) -> impl Iterator<Item = &str> {
        self.paths(Reach::Zero)
    }

    fn paths(&self, reach: Reach) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |row| row.reach == reach).map(|row| &*row.path)
    }
}

impl fmt::Display for GradientReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |head: &str, cells: &mut dyn Iterator<Item = usize>| cells.max().unwrap_or(0).max(head.len());
        let path = width("path", &mut self.0.iter().map(|row| row.path.chars().count()));
        let shape = width("shape", &mut self.0.iter().map(|row| row.shape.to_string().chars().count()));
        write!(f, "{:path$}  {:shape$}  gradient", "path", "shape")?;
        for row in &self.0 {
            write!(f, "\n{:path$}  {:shape$}  {}", row.path, row.shape.to_string(), row.reach)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chainrule_autograd::Var;
    use chainrule_tensor::{Rng, Tensor};

    use super::*;
    use crate::{Linear, Relu, Sequential};

    #[test]
    fn each_way_to_have_no_gradient_is_told_apart() {
        let mut rng = Rng::seed(0);
        let layer = |rng: &mut Rng| Linear::<f32>::new(2, 2, rng);
        let net: Sequential =
            Sequential::new().add(layer(&mut rng)).add(Relu).add(layer(&mut rng)).add(layer(&mut rng));
        let parameters = net.parameters();
        // The ReLU passes nothing back to the first layer; the third is not used, but for its bias.
        parameters[1].set(&Tensor::full(2, -100.0));
        parameters[3].set_frozen(true);
        let x = Var::constant(Tensor::ones([1, 2]));
        let h = [&net[0], &net[1], &net[2]].into_iter().fold(x, |x, layer| layer.forward(&x));
        let gradients = (h + &parameters[5] * f64::NAN).sum().backward();
        let report = GradientReport::of(&net, &gradients);
        let reach: Vec<Reach> = report.0.iter().map(|row| row.reach).collect();
        assert_eq!(reach[..5], [Reach::Zero, Reach::Zero, Reach::Zero, Reach::Frozen, Reach::NotReached]);
        assert!(matches!(reach[5], Reach::Reached(norm) if norm.is_nan()), "{:?}", reach[5]);
        assert_eq!(report.zero().collect::<Vec<_>>(), ["0.weight", "0.bias", "2.weight"]);
        assert_eq!(report.not_reached().collect::<Vec<_>>(), ["3.weight"]);
        assert!(report.to_string().ends_with("3.weight  (2, 2)  not reached\n3.bias    (2,)    NaN"), "{report}");
    }
}
