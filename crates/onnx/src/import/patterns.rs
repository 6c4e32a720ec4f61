//! Activation functions that files compose of several operators: gelu, swish, mish and softplus. They are run as the one operation that
//! they are, in one pass and with an accurate gradient.

use std::collections::HashMap;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use crate::proto::NodeProto;

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Activation {
    Gelu,
    GeluTanh,
    Swish(f64),
    Mish,
    Softplus,
}

/// The nodes of a graph by their results, and its scalar constants.
pub(super) struct Composition<'a> {
    pub(super) producers: HashMap<&'a str, &'a NodeProto>,
    pub(super) numbers: HashMap<&'a str, f64>,
}

/// Products of more factors are not looked at.
const MOST_FACTORS: usize = 8;

impl<'a> Composition<'a> {
    /// The activation function that a node completes, and its argument.
    pub(super) fn activation(&self, node: &'a NodeProto) -> Option<(Activation, &'a str)> {
        if node.op_type() == "Where" {
            return self.softplus(node);
        }
        if node.op_type() != "Mul" {
            return None;
        }
        let [a, b] = node.input.as_slice() else {
            return None;
        };
        self.gated(a, b).or_else(|| self.gated(b, a)).or_else(|| self.gelu(node))
    }

    /// softplus(x) that is x itself above a threshold, where both are equal in `f32`.
    fn softplus(&self, node: &'a NodeProto) -> Option<(Activation, &'a str)> {
        let [above, x, y] = node.input.as_slice() else {
            return None;
        };
        let above = self.producers.get(above.as_str()).filter(|node| node.op_type() == "Greater")?;
        let softplus = self.producers.get(y.as_str()).filter(|node| node.op_type() == "Softplus")?;
        let [compared, threshold] = above.input.as_slice() else {
            return None;
        };
        let is_large = self.numbers.get(threshold.as_str()).is_some_and(|&threshold| threshold >= 17.0);
        (is_large && compared == x && softplus.input.first()? == x).then_some((Activation::Softplus, x))
    }

    /// x·σ(βx) or x·tanh(softplus(x)).
    fn gated(&self, x: &'a str, gate: &'a str) -> Option<(Activation, &'a str)> {
        let gate = self.producers.get(gate)?;
        let argument = gate.input.first()?;
        match gate.op_type() {
            "Sigmoid" if argument == x => Some((Activation::Swish(1.0), x)),
            "Sigmoid" => {
                let (beta, factors) = self.factors(argument)?;
                (factors == [x] && beta.is_finite()).then_some((Activation::Swish(beta), x))
            }
            "Tanh" => {
                let softplus = self.producers.get(argument.as_str()).filter(|node| node.op_type() == "Softplus")?;
                (softplus.input.first()? == x).then_some((Activation::Mish, x))
            }
            _ => None,
        }
    }

    /// ½·x·(1 + erf(x/√2)) or ½·x·(1 + tanh(√(2/π)·(x + 0.044715x³))).
    fn gelu(&self, node: &'a NodeProto) -> Option<(Activation, &'a str)> {
        let (half, factors) = self.factors(node.output.first()?)?;
        let [a, b] = factors.as_slice() else {
            return None;
        };
        if !near(half, 0.5) {
            return None;
        }
        [(*a, *b), (*b, *a)].into_iter().find_map(|(x, sum)| {
            let (one, inner) = self.sum(sum)?;
            if one != 1.0 {
                return None;
            }
            let inner = self.producers.get(inner)?;
            let argument = inner.input.first()?;
            match inner.op_type() {
                "Erf" => {
                    let (scale, factors) = self.factors(argument)?;
                    (near(scale, FRAC_1_SQRT_2) && factors == [x]).then_some((Activation::Gelu, x))
                }
                "Tanh" => {
                    let (scale, factors) = self.factors(argument)?;
                    let [polynomial] = factors.as_slice() else {
                        return None;
                    };
                    (near(scale, FRAC_2_PI.sqrt()) && self.is_cubic(polynomial, x)).then_some((Activation::GeluTanh, x))
                }
                _ => None,
            }
        })
    }

    /// Whether a value is x + 0.044715x³.
    fn is_cubic(&self, value: &'a str, x: &str) -> bool {
        let Some(node) = self.producers.get(value).filter(|node| node.op_type() == "Add") else {
            return false;
        };
        let cube = match node.input.as_slice() {
            [a, b] if a == x => b,
            [a, b] if b == x => a,
            _ => return false,
        };
        self.factors(cube).is_some_and(|(scale, factors)| near(scale, 0.044_715) && factors == [x, x, x])
    }

    /// A sum of a number and a value.
    fn sum(&self, value: &'a str) -> Option<(f64, &'a str)> {
        let node = self.producers.get(value).filter(|node| node.op_type() == "Add")?;
        match node.input.as_slice() {
            [a, b] => match (self.numbers.get(a.as_str()), self.numbers.get(b.as_str())) {
                (Some(&number), None) => Some((number, b)),
                (None, Some(&number)) => Some((number, a)),
                _ => None,
            },
            _ => None,
        }
    }

    /// A value as the product of a number and other values, in the order of the file.
    fn factors(&self, value: &'a str) -> Option<(f64, Vec<&'a str>)> {
        let (mut number, mut factors, mut open) = (1.0, Vec::new(), vec![value]);
        // Each round takes one value, so that a cycle in a malformed graph ends.
        for _ in 0..4 * MOST_FACTORS {
            let Some(value) = open.pop() else {
                return Some((number, factors));
            };
            if let Some(known) = self.numbers.get(value) {
                number *= known;
                continue;
            }
            let node = self.producers.get(value);
            match (node.map(|node| node.op_type()), node.map(|node| node.input.as_slice())) {
                (Some("Mul"), Some([a, b])) => open.extend([b.as_str(), a.as_str()]),
                (Some("Div"), Some([a, b])) if self.numbers.contains_key(b.as_str()) => {
                    number /= self.numbers[b.as_str()];
                    open.push(a);
                }
                (Some("Pow"), Some([a, b])) if self.numbers.get(b.as_str()) == Some(&3.0) => {
                    open.extend([a.as_str(); 3]);
                }
                _ => factors.push(value),
            }
            if factors.len() + open.len() > MOST_FACTORS {
                return None;
            }
        }
        None
    }
}

/// Equal up to the rounding of a constant to `f32` or to the few digits of a paper.
fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs()
}
