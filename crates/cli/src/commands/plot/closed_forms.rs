//! Activation functions and their first two derivatives in plain arithmetic, as one derives them on paper.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

/// f, f′ and f″ at one point.
pub type Jet = [f64; 3];

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub fn relu(x: f64) -> Jet {
    leaky_relu(x, 0.0)
}

pub fn leaky_relu(x: f64, slope: f64) -> Jet {
    if x > 0.0 { [x, 1.0, 0.0] } else { [slope * x, slope, 0.0] }
}

pub fn sigmoid(x: f64) -> Jet {
    let s = logistic(x);
    [s, s * (1.0 - s), s * (1.0 - s) * (1.0 - 2.0 * s)]
}

pub fn tanh(x: f64) -> Jet {
    let t = x.tanh();
    [t, 1.0 - t * t, -2.0 * t * (1.0 - t * t)]
}

pub fn softplus(x: f64) -> Jet {
    let s = logistic(x);
    [x.exp().ln_1p(), s, s * (1.0 - s)]
}

/// f = xσ(βx). For β = 1, f′ = f + σ(x)(1 − f).
pub fn swish(x: f64, beta: f64) -> Jet {
    let s = logistic(beta * x);
    let ds = beta * s * (1.0 - s);
    [x * s, s + x * ds, 2.0 * ds + x * beta * ds * (1.0 - 2.0 * s)]
}

/// f = x·tanh(softplus(x)). The first term of f′ is sometimes written f/x, which is 0/0 at 0.
pub fn mish(x: f64) -> Jet {
    let (t, s) = (x.exp().ln_1p().tanh(), logistic(x));
    let sech2 = 1.0 - t * t;
    [x * t, t + x * s * sech2, 2.0 * s * sech2 + x * sech2 * (s * (1.0 - s) - 2.0 * t * s * s)]
}

/// f = xΦ(x), with the distribution function Φ and the density φ of the standard normal distribution.
pub fn gelu(x: f64) -> Jet {
    let distribution = 0.5 * libm::erfc(-x * FRAC_1_SQRT_2);
    let density = (-0.5 * x * x).exp() / TAU.sqrt();
    [x * distribution, distribution + x * density, (2.0 - x * x) * density]
}
