//! Activation functions as layers, and their names.

use std::fmt;
use std::str::FromStr;

use chainrule_autograd::VarOf;
use chainrule_tensor::Float;
use thiserror::Error;

use crate::module::{LayerKind, Module, Visitor};

/// An activation function, elementwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// x where x > 0, else slope·x
    LeakyRelu(f64),
    /// x where x > 0, else α(eˣ − 1)
    Elu(f64),
    /// 1/(1 + e⁻ˣ)
    Sigmoid,
    /// tanh x
    Tanh,
    /// ln(1 + eˣ)
    Softplus,
    /// x·σ(βx)
    Swish(f64),
    /// x·tanh(softplus x)
    Mish,
    /// x·Φ(x)
    Gelu,
}

/// `max(x, 0)`, elementwise; short for [`Activation::Relu`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relu;

impl<T: Float> Module<T> for Relu {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        x.relu()
    }
    fn visit(&self, _visitor: &mut Visitor<'_, T>) {}
    fn kind(&self) -> LayerKind<'_, T> {
        LayerKind::Relu
    }
}

impl<T: Float> Module<T> for Activation {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        match *self {
            Self::Relu => x.relu(),
            Self::LeakyRelu(slope) => x.leaky_relu(slope),
            Self::Elu(alpha) => x.elu(alpha),
            Self::Sigmoid => x.sigmoid(),
            Self::Tanh => x.tanh(),
            Self::Softplus => x.softplus(),
            Self::Swish(beta) => x.swish(beta),
            Self::Mish => x.mish(),
            Self::Gelu => x.gelu(),
        }
    }
    fn visit(&self, _visitor: &mut Visitor<'_, T>) {}
    fn kind(&self) -> LayerKind<'_, T> {
        if *self == Self::Relu { LayerKind::Relu } else { LayerKind::Other }
    }
}

/// The error for an unknown name of an activation function.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "'{0}' is no activation; use relu, sigmoid, tanh, swish, mish, gelu, elu, softplus, leaky:<slope>, elu:<alpha> or swish:<beta>"
)]
pub struct UnknownActivation(String);

impl FromStr for Activation {
    type Err = UnknownActivation;

    fn from_str(name: &str) -> Result<Self, UnknownActivation> {
        let number = |prefix: &str| name.strip_prefix(prefix)?.parse().ok().filter(|x: &f64| x.is_finite());
        Ok(match name {
            "relu" => Self::Relu,
            "elu" => Self::Elu(1.0),
            "sigmoid" => Self::Sigmoid,
            "tanh" => Self::Tanh,
            "softplus" => Self::Softplus,
            "swish" => Self::Swish(1.0),
            "mish" => Self::Mish,
            "gelu" => Self::Gelu,
            _ => number("leaky:")
                .map(Self::LeakyRelu)
                .or_else(|| number("elu:").map(Self::Elu))
                .or_else(|| number("swish:").map(Self::Swish))
                .ok_or_else(|| UnknownActivation(name.into()))?,
        })
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relu => f.write_str("relu"),
            Self::LeakyRelu(slope) => write!(f, "leaky:{slope}"),
            Self::Elu(1.0) => f.write_str("elu"),
            Self::Elu(alpha) => write!(f, "elu:{alpha}"),
            Self::Sigmoid => f.write_str("sigmoid"),
            Self::Tanh => f.write_str("tanh"),
            Self::Softplus => f.write_str("softplus"),
            Self::Swish(1.0) => f.write_str("swish"),
            Self::Swish(beta) => write!(f, "swish:{beta}"),
            Self::Mish => f.write_str("mish"),
            Self::Gelu => f.write_str("gelu"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_printed() {
        for name in [
            "relu",
            "sigmoid",
            "tanh",
            "softplus",
            "swish",
            "swish:2",
            "mish",
            "gelu",
            "elu",
            "elu:2",
            "leaky:-1",
            "leaky:0.01",
        ] {
            assert_eq!(name.parse::<Activation>().expect("a known name").to_string(), name);
        }
        let error = "leaky:much".parse::<Activation>().expect_err("no number").to_string();
        assert!(error.contains("'leaky:much'") && error.contains("leaky:<slope>"), "{error}");
    }
}
