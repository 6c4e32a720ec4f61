//! Saturated and dead units: elementwise operations whose local derivative makes a gradient small.

use chainrule_tensor::Float;

use crate::graph::Graph;
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

/// What is worth noting about the local derivatives of an elementwise operation with one input.
pub(crate) fn mark<T: Float>(graph: &Graph<T>, step: usize) -> Option<String> {
    let walked = &graph.walked[step];
    let op = graph.operation(step);
    let shape = op.output().shape();
    if op.parents() != 1 || op.parent(0).shape() != shape {
        return None;
    }
    let dx = walked.outgoing[0].as_ref()?.to_vec();
    let dy = graph.gradients[walked.output].as_ref()?.to_vec();
    let slopes: Vec<(usize, f64)> = (dx.iter().zip(&dy).enumerate())
        .filter(|(_, (_, dy))| **dy != T::ZERO)
        .map(|(i, (dx, dy))| (i, (dx.to_f64() / dy.to_f64()).abs()))
        .collect();
    let limit = largest_slope(op.rule().name()).map_or(0.0, |largest| SATURATED * largest);
    let small: Vec<(usize, f64)> = slopes.iter().copied().filter(|&(_, slope)| slope <= limit).collect();
    let &(first, slope) = small.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let factor = number(slope);
    let (word, why) = match largest_slope(op.rule().name()) {
        Some(most) => {
            ("saturated", format!("the factor {factor}, of at most {}, makes the product small", number(most)))
        }
        None => ("dead", format!("the factor {factor} makes the product 0")),
    };
    let count = shape.numel();
    if count == 1 {
        return Some(format!("{word}: {why}"));
    }
    let at = index_text(&unravel(first, &shape));
    Some(format!("{word}: {} of {count} units, such as {at}, where {why}", small.len()))
}
