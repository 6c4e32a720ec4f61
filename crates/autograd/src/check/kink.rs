//! Telling a kink from a wrong gradient: the slopes to the left and to the right of the point differ.

use chainrule_tensor::Tensor64;

use super::{Check, CheckError, Entry, dot, one_hot, unravel};
use crate::graph::Var64;

/// The number of entries that are examined for a kink.
pub(super) const MOST_KINKS: usize = 16;

impl<F: Fn(&[Var64]) -> Var64> Check<'_, F> {
    /// The error that says that an entry may be a kink, if [`kink`](Self::kink) finds one.
    pub(super) fn kink_of(&self, e: &Entry, combination: &Tensor64) -> Option<CheckError> {
        let step = self.step(e.x);
        let [left, right] = self.kink(&one_hot(self.x.shape(), e.x), step, combination, e.analytic)?;
        Some(CheckError::Kink {
            name: self.name.into(),
            input: self.input,
            index: Some(unravel(e.x, &self.x.shape())),
            output: e.output.map(|j| unravel(j, &self.y.shape())),
            analytic: e.analytic,
            left,
            right,
            step,
        })
    }

    /// The difference quotients of a combination of the outputs to the left and to the right along u, with the step h, if the
    /// slopes of the two sides differ and the analytic derivative is one of them or between them.
    pub(super) fn kink(&self, u: &Tensor64, h: f64, combination: &Tensor64, analytic: f64) -> Option<[f64; 2]> {
        let at = |h: f64| dot(&self.moved(u, h), combination);
        let center = dot(self.y, combination);
        let quotients = |h: f64| [(center - at(-h)) / h, (at(h) - center) / h];
        let steps = [h, h / 2.0, h / 4.0].map(quotients);
        // The error of a quotient of a smooth function is proportional to the step: twice that of half the step less that of
        // the step is without it. From three steps, since a kink at a third of one looks smooth to the first two.
        let sides = [0, 1].map(|i| [0, 1].map(|side| 2.0 * steps[i + 1][side] - steps[i][side]));
        let jump = sides.map(|[left, right]| (right - left).abs()).into_iter().fold(0.0, f64::max);
        let (low, high) = steps
            .as_flattened()
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &quotient| (quotient.min(low), quotient.max(high)));
        let size = low.abs().max(high.abs()).max(1e-3);
        let slack = self.options.tolerance * size;
        let between = low - slack <= analytic && analytic <= high + slack;
        (between && jump > 1e-3 * size).then_some(steps[0])
    }
}
