//! Optimizer steps in one pass over all parameters: their elements are partitioned together, so that small parameters have
//! no overhead of their own.

#![expect(clippy::inline_always, reason = "loops are vectorized where they are inlined into a variant of `dispatch`")]

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cpu::math::Elementary;
use crate::cpu::simd::{Vectorized, dispatch};
use crate::cpu::strided::{in_order, lies_in_order};
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::{Disjoint, parallel_for};
use crate::parameters::optimizer::{AdamSlot, AdamStep, SgdSlot, SgdStep};
use crate::scalar::Real;
use crate::tensor::TensorOf;

/// The minimum number of elements per task: about 10 µs of one thread.
const GRAIN: usize = 16 * 1024;

/// The elements of `x` for writing, with the axes in `order`; copied to that layout first if necessary.
fn for_writing<'a, T: Float>(x: &'a mut TensorOf<T>, order: &[usize]) -> Disjoint<'a, T> {
    if !lies_in_order(x.layout(), order) {
        let mut own = TensorOf::uninitialized(Layout::dense(x.shape(), order));
        own.buffer_mut().0.copy_from_slice(&in_order(x, order));
        *x = own;
    }
    let numel = x.numel();
    let (buffer, layout) = x.buffer_mut();
    Disjoint::new(&mut buffer[layout.offset()..][..numel])
}

/// Whether `x` is neither infinite nor NaN, without a branch.
#[inline(always)]
fn is_finite<T: Float>(x: T) -> bool {
    Real::abs(x) < T::HIGHEST
}

/// Calls `body` with ranges of elements that cover each job's gradient once. Sets the flag to 1 if a call returns false.
fn for_elements<J: Sync, T: Float>(
    jobs: &[J],
    non_finite: &mut TensorOf<T>,
    len: impl Fn(&J) -> usize + Sync,
    body: impl Fn(&J, Range<usize>) -> bool + Sync,
) {
    let total = jobs.iter().map(&len).sum();
    let all_finite = AtomicBool::new(true);
    parallel_for(total, GRAIN, |range| {
        let mut start = 0;
        for job in jobs {
            let end = start + len(job);
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to && !body(job, from - start..to - start) {
                all_finite.store(false, Ordering::Relaxed);
            }
            start = end;
        }
    });
    if !all_finite.into_inner() {
        non_finite.fill(T::ONE);
    }
}

struct SgdJob<'a, T: Float> {
    p: Disjoint<'a, T>,
    g: Cow<'a, [T]>,
    momentum: Option<Disjoint<'a, T>>,
    step: SgdStep,
}

struct SgdPiece<'a, T> {
    p: &'a mut [T],
    g: &'a [T],
    momentum: Option<&'a mut [T]>,
    step: SgdStep,
}

impl<T: Float> Vectorized for SgdPiece<'_, T> {
    type Element = T;
    /// Whether all new values are finite.
    type Output = bool;
    #[inline(always)]
    fn run(self) -> bool {
        let Self { p, g, momentum, step } = self;
        let [lr, factor, rest, decay] =
            [step.lr, step.momentum, 1.0 - step.dampening, step.weight_decay].map(T::from_f64);
        // A decay of 0 is skipped, as in PyTorch: 0·∞ would be NaN.
        let decayed = |g: T, p: T| if step.weight_decay == 0.0 { g } else { g + decay * p };
        let mut finite = true;
        let Some(buf) = momentum else {
            for (p, &g) in p.iter_mut().zip(g) {
                *p -= lr * decayed(g, *p);
                finite &= is_finite(*p);
            }
            return finite;
        };
        for ((p, &g), buf) in p.iter_mut().zip(g).zip(buf) {
            let g = decayed(g, *p);
            *buf = if step.first { g } else { *buf * factor + rest * g };
            *p -= lr * if step.nesterov { g + factor * *buf } else { *buf };
            // Not finite if the momentum is not.
            finite &= is_finite(*p);
        }
        finite
    }
}

/// `g += weight_decay·p`; `buf = g` at the first step, then `buf·momentum + (1 − dampening)·g`; `g = buf`, or
/// `g + momentum·buf` with Nesterov; `p −= lr·g`. Without momentum g stays the gradient.
pub(crate) fn sgd_step<'a, T: Float>(slots: Vec<SgdSlot<'a, T>>, non_finite: &mut TensorOf<T>) {
    let job = |slot: SgdSlot<'a, T>| {
        let (order, rank) = slot.parameter.layout().memory_order();
        let order = &order[..rank];
        SgdJob {
            g: in_order(slot.gradient, order),
            p: for_writing(slot.parameter, order),
            momentum: slot.momentum.map(|momentum| for_writing(momentum, order)),
            step: slot.step,
        }
    };
    let jobs: Vec<SgdJob<'_, T>> = slots.into_iter().map(job).collect();
    for_elements(
        &jobs,
        non_finite,
        |job| job.g.len(),
        |job, range| {
            // SAFETY: ranges of a job do not overlap.
            let (p, momentum) = unsafe {
                (job.p.slice(range.clone()), job.momentum.as_ref().map(|momentum| momentum.slice(range.clone())))
            };
            dispatch(SgdPiece { p, g: &job.g[range], momentum, step: job.step })
        },
    );
}

/// The constants of an [`AdamStep`].
#[derive(Clone, Copy)]
struct AdamFactors<T> {
    /// The factor of p before the step.
    shrink: T,
    /// The factor of p that is added to g, if any.
    decay: Option<T>,
    rest1: T,
    /// Whether the new mean is closer to the old mean than to the gradient.
    near: bool,
    kept2: T,
    rest2: T,
    size: T,
    /// `√(1 − β₂ᵗ)`.
    root: T,
    eps: T,
}

impl<T: Float> AdamFactors<T> {
    fn new(step: AdamStep) -> Self {
        let correction = |beta: f64| 1.0 - <f64 as Elementary>::powf(beta, step.step as f64);
        let shrink = if step.decoupled { 1.0 - step.lr * step.weight_decay } else { 1.0 };
        Self {
            shrink: T::from_f64(shrink),
            // A decay of 0 is skipped, as in PyTorch: 0·∞ would be NaN.
            decay: (!step.decoupled && step.weight_decay != 0.0).then(|| T::from_f64(step.weight_decay)),
            rest1: T::from_f64(1.0 - step.beta1),
            near: step.beta1 > 0.5,
            kept2: T::from_f64(step.beta2),
            rest2: T::from_f64(1.0 - step.beta2),
            size: T::from_f64(step.lr / correction(step.beta1)),
            root: T::from_f64(correction(step.beta2).sqrt()),
            eps: T::from_f64(step.eps),
        }
    }
}

struct AdamJob<'a, T: Float> {
    p: Disjoint<'a, T>,
    g: Cow<'a, [T]>,
    m: Disjoint<'a, T>,
    v: Disjoint<'a, T>,
    factors: AdamFactors<T>,
}

struct AdamPiece<'a, T> {
    p: &'a mut [T],
    g: &'a [T],
    m: &'a mut [T],
    v: &'a mut [T],
    factors: AdamFactors<T>,
}

impl<T: Float> Vectorized for AdamPiece<'_, T> {
    type Element = T;
    /// Whether all new values are finite.
    type Output = bool;
    #[inline(always)]
    fn run(self) -> bool {
        let Self { p, g, m, v, factors } = self;
        let AdamFactors { shrink, decay, rest1, near, kept2, rest2, size, root, eps } = factors;
        let mut finite = true;
        for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            let old = *p * shrink;
            let g = if let Some(decay) = decay { g + decay * old } else { g };
            // Interpolated from the closer end, as in PyTorch's lerp: with β₁ = 0 the mean is exactly the gradient.
            *m = if near { *m + rest1 * (g - *m) } else { g - (g - *m) * (T::ONE - rest1) };
            *v = *v * kept2 + rest2 * g * g;
            *p = old - size * *m / (Real::sqrt(*v) / root + eps);
            // A square may overflow where the gradient does not: then the parameter would never change again.
            finite &= is_finite(*p) & is_finite(*v);
        }
        finite
    }
}

/// `g += weight_decay·p`, or decoupled `p *= 1 − lr·weight_decay`; `m += (g − m)(1 − β₁)`; `v = v·β₂ + (1 − β₂)·g²`;
/// `p −= lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)`.
pub(crate) fn adam_step<'a, T: Float>(slots: Vec<AdamSlot<'a, T>>, non_finite: &mut TensorOf<T>) {
    // Most parameters share settings and step count with the previous one, and powers are expensive.
    let mut before: Option<(AdamStep, AdamFactors<T>)> = None;
    let job = |slot: AdamSlot<'a, T>| {
        let factors = match before {
            Some((step, factors)) if step == slot.step => factors,
            _ => AdamFactors::new(slot.step),
        };
        before = Some((slot.step, factors));
        let (order, rank) = slot.parameter.layout().memory_order();
        let order = &order[..rank];
        AdamJob {
            g: in_order(slot.gradient, order),
            p: for_writing(slot.parameter, order),
            m: for_writing(slot.mean, order),
            v: for_writing(slot.square, order),
            factors,
        }
    };
    let jobs: Vec<AdamJob<'_, T>> = slots.into_iter().map(job).collect();
    for_elements(
        &jobs,
        non_finite,
        |job| job.g.len(),
        |job, range| {
            let all = || range.clone();
            // SAFETY: ranges of a job do not overlap.
            let (p, m, v) = unsafe { (job.p.slice(all()), job.m.slice(all()), job.v.slice(all())) };
            dispatch(AdamPiece { p, g: &job.g[all()], m, v, factors: job.factors })
        },
    );
}
