//! Naming the kink of a function.

use chainrule_tensor::{Binary, Tensor64, Unary};

use super::element::Element;
use super::trace::{Function, run};
use crate::number::unravel;

/// An operation that has a kink at the point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kink {
    /// The name of the op, such as `relu`.
    pub rule: String,
    /// The element of its output with the largest change of slope.
    pub index: Vec<usize>,
}

/// A change of slope counts from this part of the largest slope on.
const CLEAR: f64 = 1e-3;

/// The first operation with a result whose slopes to the left and to the right differ, when the element moves by h: its
/// inputs have none.
pub(super) fn find(f: Function, element: &Element, h: f64) -> Option<Kink> {
    let at = |t: f64| element.moved(t, || run(f, None)).results;
    // The bend of a smooth function is proportional to the step; twice that of half the step less that of the step is 0.
    let (center, steps) = (at(0.0), [at(h), at(-h), at(h / 2.0), at(-h / 2.0)]);
    for (k, var) in center.iter().enumerate() {
        let [right, left, near_right, near_left] = [0, 1, 2, 3].map(|i| steps[i][k].value().clone());
        let half = |side: &Tensor64| side.binary(Binary::Sub, &var.value());
        let bend = |right: &Tensor64, left: &Tensor64, h: f64| {
            half(right).binary(Binary::Add, &half(left)).unary(Unary::Div(h))
        };
        let jump = bend(&near_right, &near_left, h / 2.0)
            .unary(Unary::Mul(2.0))
            .binary(Binary::Sub, &bend(&right, &left, h))
            .unary(Unary::Abs);
        let slope = right.binary(Binary::Sub, &left).unary(Unary::Div(2.0 * h)).unary(Unary::Abs);
        let largest = |x: &Tensor64| x.to_vec().into_iter().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        let ((place, jump), (_, slope)) = (largest(&jump)?, largest(&slope)?);
        if jump > CLEAR * slope.max(jump) && jump > 1e-6 {
            let rule = var.operation().map_or_else(String::new, |op| op.rule().name().to_owned());
            return Some(Kink { rule, index: unravel(place, &var.shape()) });
        }
    }
    None
}
