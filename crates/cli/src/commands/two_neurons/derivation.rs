//! Two published derivations of backpropagation. Each derivative is computed three times: by the chain rule as on paper, by
//! autograd, and by a central difference in plain arithmetic.

use chainrule::prelude::*;

/// One factor of a chain-rule product.
pub struct Factor {
    /// The factor as a formula, such as `∂o/∂o_in = o(1 − o)`.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
}

/// The derivative of the error with respect to one weight.
pub struct Derivative {
    /// The weight.
    pub weight: &'static str,
    /// The factors; the derivative is their product.
    pub factors: Vec<Factor>,
    /// The derivative by autograd.
    pub autograd: f64,
    /// The central difference `(E(w + h) − E(w − h)) / 2h`.
    pub numeric: f64,
    /// The weight after the update `w − lr · ∂E/∂w`.
    pub updated: f64,
}

impl Derivative {
    /// The product of the factors.
    pub fn by_hand(&self) -> f64 {
        self.factors.iter().map(|factor| factor.value).product()
    }
}

/// One forward and backward pass, and the update.
pub struct Step {
    /// The named values of the forward pass, in order.
    pub forward: Vec<(&'static str, f64)>,
    /// The derivatives of the error.
    pub derivatives: Vec<Derivative>,
}

impl Step {
    /// A value of the forward pass.
    pub fn value(&self, name: &str) -> f64 {
        self.forward.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("there is no {name}")).1
    }

    /// The derivative with respect to a weight.
    pub fn of(&self, weight: &str) -> &Derivative {
        self.derivatives.iter().find(|d| d.weight == weight).unwrap_or_else(|| panic!("there is no {weight}"))
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `(f(w + h) − f(w − h)) / 2h` for one of the weights.
fn central<const N: usize>(f: impl Fn(&[f64; N]) -> f64, w: &[f64; N], i: usize) -> f64 {
    let h = f64::EPSILON.cbrt();
    let at = |h: f64| {
        let mut moved = *w;
        moved[i] += h;
        f(&moved)
    };
    (at(h) - at(-h)) / (2.0 * h)
}

fn parameters<const N: usize>(names: [&'static str; N], values: &[f64; N]) -> [Var64; N] {
    std::array::from_fn(|i| Var64::parameter(names[i], values[i]))
}

/// Two linear neurons into a sigmoid: h1 = i1·w1 + i2·w2, h2 = i1·w3 + i2·w4, `o_in` = h1·w5 + h2·w6, o = σ(o_in).
pub mod two_neurons {
    use super::{Derivative, Factor, Step, central, parameters, sigmoid};

    const NAMES: [&str; 6] = ["w1", "w2", "w3", "w4", "w5", "w6"];
    const INPUTS: [f64; 2] = [3.0, 5.0];
    /// The target output.
    const TARGET: f64 = 1.0;
    /// The learning rate.
    pub const LR: f64 = 0.1;
    /// The weights before the first step.
    pub const START: [f64; 6] = [0.5; 6];

    /// E = ½(1 − o)² in plain arithmetic.
    fn error(w: &[f64; 6]) -> f64 {
        let [i1, i2] = INPUTS;
        let (h1, h2) = (i1 * w[0] + i2 * w[1], i1 * w[2] + i2 * w[3]);
        0.5 * (TARGET - sigmoid(h1 * w[4] + h2 * w[5])).powi(2)
    }

    /// One step from these weights.
    pub fn step(start: &[f64; 6]) -> Step {
        let w = parameters(NAMES, start);
        let [i1, i2] = INPUTS;
        let h1 = i1 * &w[0] + i2 * &w[1];
        let h2 = i1 * &w[2] + i2 * &w[3];
        let o_in = &h1 * &w[4] + &h2 * &w[5];
        let o = o_in.sigmoid();
        let e = 0.5 * (TARGET - &o).square();
        let gradients = e.backward();

        let (h1, h2, o_in, o, e) = (h1.item(), h2.item(), o_in.item(), o.item(), e.item());
        let outer = || {
            vec![
                Factor { name: "∂E/∂o = −(1 − o)", value: -(TARGET - o) },
                Factor { name: "∂o/∂o_in = o(1 − o)", value: o * (1.0 - o) },
            ]
        };
        let inner: [Vec<Factor>; 6] = [
            vec![Factor { name: "∂o_in/∂h1 = w5", value: start[4] }, Factor { name: "∂h1/∂w1 = i1", value: i1 }],
            vec![Factor { name: "∂o_in/∂h1 = w5", value: start[4] }, Factor { name: "∂h1/∂w2 = i2", value: i2 }],
            vec![Factor { name: "∂o_in/∂h2 = w6", value: start[5] }, Factor { name: "∂h2/∂w3 = i1", value: i1 }],
            vec![Factor { name: "∂o_in/∂h2 = w6", value: start[5] }, Factor { name: "∂h2/∂w4 = i2", value: i2 }],
            vec![Factor { name: "∂o_in/∂w5 = h1", value: h1 }],
            vec![Factor { name: "∂o_in/∂w6 = h2", value: h2 }],
        ];
        let derivatives = inner.into_iter().enumerate().map(|(i, inner)| {
            let autograd = gradients[&w[i]].item();
            Derivative {
                weight: NAMES[i],
                factors: outer().into_iter().chain(inner).collect(),
                autograd,
                numeric: central(error, start, i),
                updated: start[i] - LR * autograd,
            }
        });
        let squared = ("(1 − o)²", (TARGET - o).powi(2));
        Step {
            derivatives: derivatives.collect(),
            forward: vec![("h1", h1), ("h2", h2), ("o_in", o_in), ("o", o), ("E = ½(1 − o)²", e), squared],
        }
    }
}

/// Mazur's net, "A step by step backpropagation example" (2015): two inputs, two hidden sigmoids, two output sigmoids,
/// E = ½ Σ (t − o)².
pub mod mazur {
    use super::{Derivative, Factor, Step, central, parameters, sigmoid};

    /// The names of the weights; each bias is shared by a layer.
    const NAMES: [&str; 10] = ["w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "b1", "b2"];
    const INPUTS: [f64; 2] = [0.05, 0.10];
    const TARGETS: [f64; 2] = [0.01, 0.99];
    /// The learning rate.
    pub const LR: f64 = 0.5;
    /// The weights before the first step.
    pub const START: [f64; 10] = [0.15, 0.20, 0.25, 0.30, 0.40, 0.45, 0.50, 0.55, 0.35, 0.60];

    /// h and o in plain arithmetic.
    fn forward(w: &[f64; 10]) -> ([f64; 2], [f64; 2]) {
        let [i1, i2] = INPUTS;
        let h1 = sigmoid(w[0] * i1 + w[1] * i2 + w[8]);
        let h2 = sigmoid(w[2] * i1 + w[3] * i2 + w[8]);
        let o1 = sigmoid(w[4] * h1 + w[5] * h2 + w[9]);
        let o2 = sigmoid(w[6] * h1 + w[7] * h2 + w[9]);
        ([h1, h2], [o1, o2])
    }

    /// E = ½ Σ (t − o)² in plain arithmetic.
    pub fn error(w: &[f64; 10]) -> f64 {
        let o = forward(w).1;
        0.5 * ((TARGETS[0] - o[0]).powi(2) + (TARGETS[1] - o[1]).powi(2))
    }

    /// One step from these weights.
    pub fn step(start: &[f64; 10]) -> Step {
        let w = parameters(NAMES, start);
        let [i1, i2] = INPUTS;
        let h1 = (&w[0] * i1 + &w[1] * i2 + &w[8]).sigmoid();
        let h2 = (&w[2] * i1 + &w[3] * i2 + &w[8]).sigmoid();
        let o1 = (&w[4] * &h1 + &w[5] * &h2 + &w[9]).sigmoid();
        let o2 = (&w[6] * &h1 + &w[7] * &h2 + &w[9]).sigmoid();
        let e = 0.5 * ((TARGETS[0] - &o1).square() + (TARGETS[1] - &o2).square());
        let gradients = e.backward();

        let (h, o) = ([h1.item(), h2.item()], [o1.item(), o2.item()]);
        // δ of an output neuron: the derivative of the error with respect to the input of its sigmoid.
        let delta: [f64; 2] = std::array::from_fn(|k| -(TARGETS[k] - o[k]) * o[k] * (1.0 - o[k]));
        let reaching: [f64; 2] = std::array::from_fn(|j| delta[0] * start[4 + j] + delta[1] * start[6 + j]);
        let slope: [f64; 2] = std::array::from_fn(|j| h[j] * (1.0 - h[j]));
        let hidden = |j: usize, input: usize| {
            vec![
                Factor { name: "∂E/∂h = Σ δₖ·w", value: reaching[j] },
                Factor { name: "∂h/∂net = h(1 − h)", value: slope[j] },
                Factor { name: "∂net/∂w = i", value: INPUTS[input] },
            ]
        };
        let output = |k: usize, j: usize| {
            vec![
                Factor { name: "∂E/∂o = −(t − o)", value: -(TARGETS[k] - o[k]) },
                Factor { name: "∂o/∂net = o(1 − o)", value: o[k] * (1.0 - o[k]) },
                Factor { name: "∂net/∂w = h", value: h[j] },
            ]
        };
        let shared = |name, value| vec![Factor { name, value }];
        let factors: [Vec<Factor>; 10] = [
            hidden(0, 0),
            hidden(0, 1),
            hidden(1, 0),
            hidden(1, 1),
            output(0, 0),
            output(0, 1),
            output(1, 0),
            output(1, 1),
            shared("Σ ∂E/∂h·h(1 − h)", reaching[0] * slope[0] + reaching[1] * slope[1]),
            shared("Σ δₖ", delta[0] + delta[1]),
        ];
        let derivatives = factors.into_iter().enumerate().map(|(i, factors)| {
            let autograd = gradients[&w[i]].item();
            Derivative {
                weight: NAMES[i],
                factors,
                autograd,
                numeric: central(error, start, i),
                updated: start[i] - LR * autograd,
            }
        });
        Step {
            derivatives: derivatives.collect(),
            forward: vec![("h1", h[0]), ("h2", h[1]), ("o1", o[0]), ("o2", o[1]), ("E = ½ Σ (t − o)²", e.item())],
        }
    }

    /// The error after an update of the weights only, and of weights and biases.
    pub fn error_after(step: &Step) -> (f64, f64) {
        let mut w = START;
        for (slot, derivative) in w.iter_mut().zip(&step.derivatives).take(8) {
            *slot = derivative.updated;
        }
        let weights_alone = error(&w);
        w[8] = step.of("b1").updated;
        w[9] = step.of("b2").updated;
        (weights_alone, error(&w))
    }
}
