//! The kinds of sheet, each as a chain of quantities.

mod batch_norm;
mod convolution;
mod dense;
mod loss;
mod update;

pub use batch_norm::BatchNorm;
pub use convolution::{Convolution, Pooling};
pub use dense::{Biases, Net};
pub use loss::{Loss, LossFunction, Reduction};
pub use update::{Momentum, Optimizer, Update};

use super::chain::{Chain, Role};
use super::expression::{Expr, Id};

/// What a number of the sheet stands for; worksheets draw it accordingly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Input,
    Weight,
    Bias,
    /// The target of a squared error or a probability.
    Target,
    /// An element of a one-hot target: its index and their number.
    OneHot(usize, usize),
    /// A scale such as γ.
    Scale,
}

/// Gives the number of a name.
pub(super) type Numbers<'a> = &'a mut dyn FnMut(&str, Given) -> f64;

/// `base` of a group of one, `base3` of a larger group.
fn indexed(base: &str, index: usize, count: usize) -> String {
    if count == 1 { base.to_owned() } else { format!("{base}{}", index + 1) }
}

/// A weight or a bias, with its current value.
#[derive(Clone, Debug)]
struct Parameter {
    name: String,
    value: Id,
    is_bias: bool,
}

impl Parameter {
    fn given(chain: &mut Chain, numbers: Numbers, name: &str, is_bias: bool) -> Self {
        let (role, given) = if is_bias { (Role::Bias, Given::Bias) } else { (Role::Weight, Given::Weight) };
        let value = chain.given(name, role, numbers(name, given));
        Self { name: name.to_owned(), value, is_bias }
    }

    /// Defines the derivative of the loss with respect to it.
    fn gradient(&self, chain: &mut Chain, expr: Expr) -> Id {
        let name = format!("dE_d{}", self.name);
        let id = chain.define(&name, format!("derivative of E with respect to {}", self.name), Role::Gradient, expr);
        chain.gradients.insert(self.value, id);
        chain.asked.push(id);
        id
    }
}

fn of(id: Id) -> Expr {
    Expr::Of(id)
}

fn product<const N: usize>(factors: [Expr; N]) -> Expr {
    Expr::product(factors.into())
}
