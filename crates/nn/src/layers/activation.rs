//! Activation functions as layers, and their names.

use std::fmt;
use std::str::FromStr;

use chainrule_autograd::VarOf;
use chainrule_tensor::Float;
use thiserror::Error;

use crate::init::Nonlinearity;
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
    /// The tanh approximation of `Gelu`
    GeluTanh,
    /// λx where x > 0, else λα(eˣ − 1), with the constants of self-normalizing nets
    Selu,
    /// x where x > 0, else α(e^(x/α) − 1), for α > 0
    Celu(f64),
    /// max(0, min(x, 6))
    Relu6,
    /// max(−1, min(x, 1))
    Hardtanh,
    /// relu6(x + 3)/6
    Hardsigmoid,
    /// x·relu6(x + 3)/6
    Hardswish,
    /// ln σ(x)
    LogSigmoid,
    /// x/(1 + |x|)
    Softsign,
}

impl Activation {
    /// What initial weights before this activation are scaled for; `None` where `torch.nn.init.calculate_gain` defines no gain.
    ///
    /// ```
    /// use chainrule_nn::Activation;
    /// assert_eq!(Activation::Selu.nonlinearity().map(|after| after.gain()), Some(0.75));
    /// assert!(Activation::Gelu.nonlinearity().is_none());
    /// ```
    pub fn nonlinearity(self) -> Option<Nonlinearity> {
        match self {
            Self::Relu => Some(Nonlinearity::Relu),
            Self::LeakyRelu(slope) => Some(Nonlinearity::LeakyRelu(slope)),
            Self::Sigmoid => Some(Nonlinearity::Linear),
            Self::Tanh => Some(Nonlinearity::Tanh),
            Self::Selu => Some(Nonlinearity::Selu),
            _ => None,
        }
    }
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
            Self::GeluTanh => x.gelu_tanh(),
            Self::Selu => x.selu(),
            Self::Celu(alpha) => x.celu(alpha),
            Self::Relu6 => x.relu6(),
            Self::Hardtanh => x.hardtanh(),
            Self::Hardsigmoid => x.hardsigmoid(),
            Self::Hardswish => x.hardswish(),
            Self::LogSigmoid => x.logsigmoid(),
            Self::Softsign => x.softsign(),
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
    "'{0}' is no activation; use relu, relu6, sigmoid, logsigmoid, hardsigmoid, tanh, hardtanh, softsign, softplus, swish, hardswish, \
     mish, gelu, gelu-tanh, elu, celu, selu, leaky:<slope>, elu:<alpha>, celu:<alpha above 0> or swish:<beta>"
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
            "gelu-tanh" => Self::GeluTanh,
            "selu" => Self::Selu,
            "celu" => Self::Celu(1.0),
            "relu6" => Self::Relu6,
            "hardtanh" => Self::Hardtanh,
            "hardsigmoid" => Self::Hardsigmoid,
            "hardswish" => Self::Hardswish,
            "logsigmoid" => Self::LogSigmoid,
            "softsign" => Self::Softsign,
            _ => number("leaky:")
                .map(Self::LeakyRelu)
                .or_else(|| number("elu:").map(Self::Elu))
                .or_else(|| number("celu:").filter(|&alpha| alpha > 0.0).map(Self::Celu))
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
            Self::GeluTanh => f.write_str("gelu-tanh"),
            Self::Selu => f.write_str("selu"),
            Self::Celu(1.0) => f.write_str("celu"),
            Self::Celu(alpha) => write!(f, "celu:{alpha}"),
            Self::Relu6 => f.write_str("relu6"),
            Self::Hardtanh => f.write_str("hardtanh"),
            Self::Hardsigmoid => f.write_str("hardsigmoid"),
            Self::Hardswish => f.write_str("hardswish"),
            Self::LogSigmoid => f.write_str("logsigmoid"),
            Self::Softsign => f.write_str("softsign"),
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
            "gelu-tanh",
            "selu",
            "celu",
            "celu:0.5",
            "relu6",
            "hardtanh",
            "hardsigmoid",
            "hardswish",
            "logsigmoid",
            "softsign",
            "elu",
            "elu:2",
            "leaky:-1",
            "leaky:0.01",
        ] {
            assert_eq!(name.parse::<Activation>().expect("a known name").to_string(), name);
        }
        assert!("celu:0".parse::<Activation>().is_err() && "celu:-1".parse::<Activation>().is_err(), "it is a divisor");
        let error = "leaky:much".parse::<Activation>().expect_err("no number").to_string();
        assert!(error.contains("'leaky:much'") && error.contains("leaky:<slope>"), "{error}");
    }

    #[test]
    fn names_stand_for_their_functions() {
        fn sigmoid(x: f64) -> f64 {
            1.0 / (1.0 + (-x).exp())
        }
        fn elu(x: f64, alpha: f64) -> f64 {
            if x > 0.0 { x } else { alpha * x.exp_m1() }
        }
        type Function = fn(f64) -> f64;
        let functions: [(&str, Function); 20] = [
            ("relu", |x| x.max(0.0)),
            ("relu6", |x| x.clamp(0.0, 6.0)),
            ("leaky:0.2", |x| if x > 0.0 { x } else { 0.2 * x }),
            ("elu", |x| elu(x, 1.0)),
            ("elu:0.7", |x| elu(x, 0.7)),
            ("celu", |x| elu(x, 1.0)),
            ("celu:0.5", |x| 0.5 * elu(x / 0.5, 1.0)),
            ("selu", |x| 1.050_700_987_355_480_5 * elu(x, 1.673_263_242_354_377_2)),
            ("sigmoid", sigmoid),
            ("logsigmoid", |x| sigmoid(x).ln()),
            ("hardsigmoid", |x| (x + 3.0).clamp(0.0, 6.0) / 6.0),
            ("tanh", f64::tanh),
            ("hardtanh", |x| x.clamp(-1.0, 1.0)),
            ("softplus", |x| x.exp().ln_1p()),
            ("softsign", |x| x / (1.0 + x.abs())),
            ("swish", |x| x * sigmoid(x)),
            ("swish:2", |x| x * sigmoid(2.0 * x)),
            ("hardswish", |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
            ("mish", |x| x * x.exp().ln_1p().tanh()),
            ("gelu-tanh", |x| 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x.powi(3))).tanh())),
        ];
        let x = [-7.0, -2.5, -1.0, -0.25, 0.0, 0.5, 2.0, 6.5];
        for (name, function) in functions {
            let activation: Activation = name.parse().expect("a known name");
            let found = activation.forward(&VarOf::<f64>::constant(x)).value().to_vec();
            for (x, found) in x.into_iter().zip(found) {
                assert!((found - function(x)).abs() < 1e-14, "{name} of {x} is {found}, not {}", function(x));
            }
        }
    }
}
