//! Saturated and dead units: elementwise operations whose local derivative makes a gradient small.

use chainrule_tensor::Float;

use crate::explanation::Explanation;
use crate::number::{index_text, number, unravel};

/// A slope below this share of the function's largest slope counts as saturated.
const SATURATED: f64 = 0.1;

/// The largest slope of functions that are flat at both ends.
fn largest_slope(op: &str) -> Option<f64> {
    match op {
        "sigmoid" => Some(0.25),
        "tanh" => Some(1.0),
        _ => None,
    }
}

/// What is worth noting about the local derivatives of an operation with one input of the output's shape.
pub(super) fn mark<T: Float>(explanation: &Explanation<T>, step: usize) -> Option<String> {
    let walked = &explanation.graph.walked[step];
    let of = &explanation.steps()[step];
    let [input] = &of.inputs[..] else { return None };
    let shape = &explanation.variables()[of.output].shape;
    if explanation.variables()[input.variable].shape != *shape || of.formula.numbers.is_none() {
        return None;
    }
    let dx = walked.outgoing[0].as_ref()?.to_vec();
    let dy = explanation.graph.gradients[walked.output].as_ref()?.to_vec();
    let slopes: Vec<(usize, f64)> = (dx.iter().zip(&dy).enumerate())
        .filter(|(_, (_, dy))| **dy != T::ZERO)
        .map(|(i, (dx, dy))| (i, (dx.to_f64() / dy.to_f64()).abs()))
        .collect();
    let limit = largest_slope(&of.op).map_or(0.0, |largest| SATURATED * largest);
    let small: Vec<(usize, f64)> = slopes.iter().copied().filter(|&(_, slope)| slope <= limit).collect();
    let &(first, slope) = small.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let factor = number(slope);
    let (word, why) = match largest_slope(&of.op) {
        Some(most) => {
            ("saturated", format!("the factor {factor}, of at most {}, makes the product small", number(most)))
        }
        None => ("dead", format!("the factor {factor} makes the product 0")),
    };
    let count: usize = shape.iter().product();
    if count == 1 {
        return Some(format!("{word}: {why}"));
    }
    let at = index_text(&unravel(first, shape));
    Some(format!("{word}: {} of {count} units, such as {at}, where {why}", small.len()))
}
