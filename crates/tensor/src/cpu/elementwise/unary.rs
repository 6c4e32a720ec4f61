//! Functions of one number.

#![expect(
    clippy::inline_always,
    reason = "loops are vectorized only where they are inlined into a variant of `dispatch`"
)]

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use super::Unary;
use super::map::{CHEAP, DEAR, Function1, map1};
use crate::element::Float;
use crate::tensor::TensorOf;

/// Applies a formula, made a type of its own with its numbers, to each element.
macro_rules! apply {
    ($x:ident, $grain:expr, $([$($name:ident = $number:expr),*],)? |$v:ident| $formula:expr) => {{
        #[derive(Clone, Copy)]
        struct Formula<T> { $($($name: T,)*)? kind: std::marker::PhantomData<T> }
        impl<T: Float> Function1<T, T> for Formula<T> {
            #[inline(always)]
            fn apply(self, $v: T) -> T {
                $($(let $name = self.$name;)*)?
                $formula
            }
        }
        map1($x, $grain, Formula::<T> { $($($name: T::from_f64($number),)*)? kind: std::marker::PhantomData })
    }};
}

pub(crate) fn unary<T: Float>(op: Unary, x: &TensorOf<T>) -> TensorOf<T> {
    match op {
        Unary::Neg => apply!(x, CHEAP, |v| -v),
        Unary::Abs => apply!(x, CHEAP, |v| v.abs()),
        // Zeros and NaN are their own sign.
        Unary::Sign => apply!(x, CHEAP, |v| if v > T::ZERO {
            T::ONE
        } else if v < T::ZERO {
            -T::ONE
        } else {
            v
        }),
        Unary::Exp => apply!(x, DEAR, |v| T::exp(v)),
        Unary::Log => apply!(x, DEAR, |v| T::ln(v)),
        Unary::Sqrt => apply!(x, CHEAP, |v| v.sqrt()),
        Unary::Square => apply!(x, CHEAP, |v| v * v),
        Unary::Reciprocal => apply!(x, CHEAP, |v| T::ONE / v),
        Unary::Add(s) => apply!(x, CHEAP, [s = s], |v| v + s),
        Unary::SubFrom(s) => apply!(x, CHEAP, [s = s], |v| s - v),
        Unary::Mul(s) => apply!(x, CHEAP, [s = s], |v| s * v),
        Unary::DivInto(s) => apply!(x, CHEAP, [s = s], |v| s / v),
        // The common exponents, which cost a product each and round no worse than powf.
        Unary::Pow(2.0) => unary(Unary::Square, x),
        Unary::Pow(-1.0) => unary(Unary::Reciprocal, x),
        Unary::Pow(3.0) => apply!(x, CHEAP, |v| v * v * v),
        Unary::Pow(p) => apply!(x, DEAR, [p = p], |v| T::powf(v, p)),
        // Comparisons that fail for NaN, so that it stays.
        Unary::Clamp(lo, hi) => apply!(x, CHEAP, [lo = lo, hi = hi], |v| {
            let v = if v > hi { hi } else { v };
            if v < lo { lo } else { v }
        }),
        Unary::Relu => apply!(x, CHEAP, |v| if v <= T::ZERO { T::ZERO } else { v }),
        Unary::LeakyRelu(alpha) => apply!(x, CHEAP, [alpha = alpha], |v| if v > T::ZERO { v } else { alpha * v }),
        Unary::Sigmoid => apply!(x, DEAR, |v| T::sigmoid(v)),
        Unary::Tanh => apply!(x, DEAR, |v| T::tanh(v)),
        Unary::Softplus => apply!(x, DEAR, |v| T::softplus(v)),
        Unary::Swish(beta) => apply!(x, DEAR, [beta = beta], |v| times(v, T::sigmoid(beta * v))),
        Unary::Mish => apply!(x, DEAR, |v| times(v, tanh_softplus(v))),
        Unary::Gelu => apply!(x, DEAR, |v| times(v, normal_distribution(v))),
        // (1 + tanh u)/2 = σ(2u)
        Unary::GeluTanh => apply!(x, DEAR, |v| times(v, T::sigmoid(gelu_argument(v)))),
    }
}

/// `x·weight`, where a weight of 0 wins over an infinite x: the limit of functions whose weight vanishes exponentially.
#[inline(always)]
pub(super) fn times<T: Float>(x: T, weight: T) -> T {
    if weight == T::ZERO { T::ZERO } else { x * weight }
}

/// `tanh(ln(1 + eˣ)) = ((1 + eˣ)² − 1) / ((1 + eˣ)² + 1)`, written in `e = exp(−|x|)`, which overflows nowhere.
#[inline(always)]
fn tanh_softplus<T: Float>(x: T) -> T {
    let two = T::ONE + T::ONE;
    let e = T::exp(-x.abs());
    if x < T::ZERO {
        let n = e * (e + two);
        n / (n + two)
    } else {
        let n = T::ONE + two * e;
        n / (n + two * e * e)
    }
}

/// `Φ(x) = (1 + erf(x/√2))/2`.
#[inline(always)]
pub(super) fn normal_distribution<T: Float>(x: T) -> T {
    let half = T::from_f64(0.5);
    half + half * T::erf(x * T::from_f64(FRAC_1_SQRT_2))
}

/// `2√(2/π)·(x + 0.044715x³)`, twice the argument of the tanh in the approximation of gelu by Hendrycks and Gimpel.
#[inline(always)]
pub(super) fn gelu_argument<T: Float>(x: T) -> T {
    let scale = T::from_f64(2.0 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2);
    scale * (x + T::from_f64(0.044_715) * (x * x * x))
}
