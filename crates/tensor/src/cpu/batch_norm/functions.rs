//! The terms that are summed over a channel, and the functions that are applied to each element.

#![expect(
    clippy::inline_always,
    reason = "functions are vectorized where they are inlined into a variant of `dispatch`"
)]

use crate::cpu::elementwise::{relu, relu_backward};
use crate::element::Float;

/// K terms of one element that are summed over a channel, from I operands.
pub(super) trait Term<T, const I: usize, const K: usize>: Copy + Sync {
    fn of(self, v: [T; I], mean: T) -> [T; K];
}

/// A function of one element with O results, from I operands and P constants of the channel.
pub(super) trait Map<T, const I: usize, const P: usize, const O: usize>: Copy + Sync {
    fn of(self, v: [T; I], constants: [T; P]) -> [T; O];
}

/// `x`.
#[derive(Clone, Copy)]
pub(super) struct Value;

impl<T: Float> Term<T, 1, 1> for Value {
    #[inline(always)]
    fn of(self, [x]: [T; 1], _: T) -> [T; 1] {
        [x]
    }
}

/// `x − center` and its square.
#[derive(Clone, Copy)]
pub(super) struct Deviation;

impl<T: Float> Term<T, 1, 2> for Deviation {
    #[inline(always)]
    fn of(self, [x]: [T; 1], center: T) -> [T; 2] {
        [x - center, (x - center) * (x - center)]
    }
}

/// `dz` and `dz·(x − mean)`, where dz is dy or, if y is given, dy where y > 0, else 0.
#[derive(Clone, Copy)]
pub(super) struct Gradient;

impl<T: Float> Term<T, 2, 2> for Gradient {
    #[inline(always)]
    fn of(self, [dy, x]: [T; 2], mean: T) -> [T; 2] {
        [dy, dy * (x - mean)]
    }
}

impl<T: Float> Term<T, 3, 2> for Gradient {
    #[inline(always)]
    fn of(self, [dy, x, y]: [T; 3], mean: T) -> [T; 2] {
        let dz = relu_backward(dy, y);
        [dz, dz * (x - mean)]
    }
}

/// `(x − mean)·scale + shift`, plus a residual if there is one.
#[derive(Clone, Copy)]
pub(super) struct Scale;

impl<T: Float> Map<T, 1, 3, 1> for Scale {
    #[inline(always)]
    fn of(self, [x]: [T; 1], [mean, scale, shift]: [T; 3]) -> [T; 1] {
        [(x - mean) * scale + shift]
    }
}

impl<T: Float> Map<T, 2, 3, 1> for Scale {
    #[inline(always)]
    fn of(self, [x, r]: [T; 2], [mean, scale, shift]: [T; 3]) -> [T; 1] {
        [(x - mean) * scale + shift + r]
    }
}

/// `relu((x − mean)·scale + shift)`, or with a residual r, `relu((x − mean)·scale + shift + r)`.
#[derive(Clone, Copy)]
pub(super) struct ScaleRelu;

impl<T: Float> Map<T, 1, 3, 1> for ScaleRelu {
    #[inline(always)]
    fn of(self, [x]: [T; 1], [mean, scale, shift]: [T; 3]) -> [T; 1] {
        [relu((x - mean) * scale + shift)]
    }
}

impl<T: Float> Map<T, 2, 3, 1> for ScaleRelu {
    #[inline(always)]
    fn of(self, [x, r]: [T; 2], [mean, scale, shift]: [T; 3]) -> [T; 1] {
        [relu((x - mean) * scale + shift + r)]
    }
}

/// `dx = factor·(dz − level − (x − mean)·slope)`, and dz itself if there are two results; dz as in [`Gradient`].
#[derive(Clone, Copy)]
pub(super) struct InputGradient;

#[inline(always)]
fn input_gradient<T: Float>(dz: T, x: T, [mean, factor, level, slope]: [T; 4]) -> T {
    factor * (dz - level - (x - mean) * slope)
}

impl<T: Float> Map<T, 2, 4, 1> for InputGradient {
    #[inline(always)]
    fn of(self, [dy, x]: [T; 2], constants: [T; 4]) -> [T; 1] {
        [input_gradient(dy, x, constants)]
    }
}

impl<T: Float> Map<T, 3, 4, 1> for InputGradient {
    #[inline(always)]
    fn of(self, [dy, x, y]: [T; 3], constants: [T; 4]) -> [T; 1] {
        [input_gradient(relu_backward(dy, y), x, constants)]
    }
}

impl<T: Float> Map<T, 3, 4, 2> for InputGradient {
    #[inline(always)]
    fn of(self, [dy, x, y]: [T; 3], constants: [T; 4]) -> [T; 2] {
        let dz = relu_backward(dy, y);
        [input_gradient(dz, x, constants), dz]
    }
}
