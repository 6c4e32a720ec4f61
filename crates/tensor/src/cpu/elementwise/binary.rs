//! Functions of two numbers.

#![expect(
    clippy::inline_always,
    reason = "loops are vectorized only where they are inlined into a variant of `dispatch`"
)]

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use super::Binary;
use super::map::{CHEAP, DEAR, Function2, map2, update};
use super::unary::{gelu_argument, normal_distribution, times};
use crate::element::Float;
use crate::tensor::TensorOf;

/// Applies a formula, made a type of its own with its numbers, to each pair of elements.
macro_rules! apply {
    ($a:ident, $b:ident, $grain:expr, $([$($name:ident = $number:expr),*],)? |$v:ident, $w:ident| $formula:expr) => {{
        #[derive(Clone, Copy)]
        struct Formula<T> { $($($name: T,)*)? kind: std::marker::PhantomData<T> }
        impl<T: Float> Function2<T, T, T> for Formula<T> {
            #[inline(always)]
            fn apply(self, $v: T, $w: T) -> T {
                $($(let $name = self.$name;)*)?
                $formula
            }
        }
        map2($a, $b, $grain, Formula::<T> { $($($name: T::from_f64($number),)*)? kind: std::marker::PhantomData })
    }};
}

pub(crate) fn binary<T: Float>(op: Binary, a: &TensorOf<T>, b: &TensorOf<T>) -> TensorOf<T> {
    match op {
        Binary::Add => map2(a, b, CHEAP, Sum),
        Binary::Sub => apply!(a, b, CHEAP, |v, w| v - w),
        Binary::Mul => apply!(a, b, CHEAP, |v, w| v * w),
        Binary::Div => apply!(a, b, CHEAP, |v, w| v / w),
        // A NaN in w fails the comparison and is taken, a NaN in v is asked for.
        Binary::Maximum => apply!(a, b, CHEAP, |v, w| if v >= w || v.is_nan() { v } else { w }),
        Binary::Minimum => apply!(a, b, CHEAP, |v, w| if v <= w || v.is_nan() { v } else { w }),
        Binary::ReluBackward => apply!(a, b, CHEAP, |dy, y| if y > T::ZERO { dy } else { T::ZERO }),
        Binary::LeakyReluBackward(alpha) => {
            apply!(a, b, CHEAP, [alpha = alpha], |dy, x| if x > T::ZERO { dy } else { alpha * dy })
        }
        Binary::ClampBackward(lo, hi) => {
            apply!(a, b, CHEAP, [lo = lo, hi = hi], |dy, x| if lo <= x && x <= hi { dy } else { T::ZERO })
        }
        Binary::SigmoidBackward => apply!(a, b, CHEAP, |dy, y| dy * (y * (T::ONE - y))),
        Binary::TanhBackward => apply!(a, b, CHEAP, |dy, y| dy * (T::ONE - y * y)),
        Binary::SoftplusBackward => apply!(a, b, DEAR, |dy, x| dy * T::sigmoid(x)),
        Binary::SwishBackward(beta) => apply!(a, b, DEAR, [beta = beta], |dy, x| {
            let u = beta * x;
            let (sigmoid, slope) = logistic(u);
            dy * (sigmoid + times(u, slope))
        }),
        Binary::MishBackward => apply!(a, b, DEAR, |dy, x| dy * mish_slope(x)),
        Binary::GeluBackward => apply!(a, b, DEAR, |dy, x| {
            let half = T::from_f64(0.5);
            let density = T::from_f64(0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2) * T::exp(-half * (x * x));
            dy * (normal_distribution(x) + times(x, density))
        }),
        // With y = x·σ(v), v = 2√(2/π)·(x + 0.044715x³): dy·(σ(v) + x·v′·σ(v)(1 − σ(v))), where
        // x·v′ = 2√(2/π)·(x + 3·0.044715x³).
        Binary::GeluTanhBackward => apply!(a, b, DEAR, |dy, x| {
            let (sigmoid, slope) = logistic(gelu_argument(x));
            let scale = T::from_f64(2.0 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2);
            let rise = scale * (x + T::from_f64(3.0 * 0.044_715) * (x * x * x));
            dy * (sigmoid + times(rise, slope))
        }),
    }
}

#[derive(Clone, Copy)]
struct Sum;

impl<T: Float> Function2<T, T, T> for Sum {
    #[inline(always)]
    fn apply(self, a: T, b: T) -> T {
        a + b
    }
}

pub(crate) fn add_assign<T: Float>(y: &mut TensorOf<T>, x: &TensorOf<T>) {
    update(y, x, CHEAP, Sum);
}

/// `(σ(u), σ(u)(1 − σ(u)))` in `e = exp(−|u|)`: the slope loses no digits in either tail.
#[inline(always)]
fn logistic<T: Float>(u: T) -> (T, T) {
    let e = T::exp(-u.abs());
    let share = T::ONE / (T::ONE + e);
    (if u < T::ZERO { e * share } else { share }, e * share * share)
}

/// `t + x(1 − t²)σ(x)`, t = tanh(softplus x), with everything written in `e = exp(−|x|)`:
/// for x < 0, n = e² + 2e and d = n + 2, t = n/d and (1 − t²)σ = 4e(1 + e)/d²;
/// else n = 1 + 2e and d = n + 2e², t = n/d and (1 − t²)σ = 4e²(1 + e)/d².
#[inline(always)]
fn mish_slope<T: Float>(x: T) -> T {
    let two = T::ONE + T::ONE;
    let e = T::exp(-x.abs());
    let below = x < T::ZERO;
    let n = if below { e * (e + two) } else { T::ONE + two * e };
    let d = if below { n + two } else { n + two * e * e };
    let decay = if below { e } else { e * e };
    n / d + times(x, (two + two) * decay * (T::ONE + e) / (d * d))
}
