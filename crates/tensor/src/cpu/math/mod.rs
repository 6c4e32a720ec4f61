//! Elementary functions, implemented here rather than by the system, so that results have the same bits on every machine.
//!
//! **Why not those of std.** `f32::exp` and the others call the libm of the platform, and two libms differ in the last
//! bit; a training run would then depend on where it ran. Here everything is built from `+ - * /`, `sqrt` and integer
//! operations on the bits, all of which IEEE 754 and Rust define exactly. No fused multiply-add is used: it rounds
//! once where `a * b + c` rounds twice, so a path with it and a path without would disagree. (The one thing left open
//! is the sign and payload of a NaN, which Rust does not define.)
//!
//! **Why they vectorize.** Nothing branches and nothing is looked up in a table. Ranges are chosen by `if` expressions
//! whose sides are both cheap and free of effects, which the compiler turns into selects, and rounding to an integer
//! is an addition. `f32` stays in `f32`. A plain loop over a slice therefore becomes vector code at the width of the
//! CPU features that the surrounding function was compiled for, with the same bits at every width. `sin`, `cos` and `tan` are the exception: their angle is
//! reduced in `f64` for both formats, and beyond 2²⁰ by a branch and a table of the bits of 2/π.
//!
//! **The structure of a function.** All follow the same three steps: an exact or almost exact *reduction* of the
//! argument to a small interval, a *polynomial* there (made by `tests/reference/elementary_coefficients.py`), and a
//! *reconstruction*. Wherever possible the result is `large part + small correction` with an accurate large part: the
//! correction's rounding errors then hardly count and one rounding, the last addition's half ulp, is most of the error.
//!
//! Worst errors, in ulp of the true value. `f32` is measured against our own `f64`, over every one of the 2³² arguments
//! (`CHAINRULE_EXHAUSTIVE=1` makes the test do so; otherwise it takes every 997th; the figures from `sin` on are of every 13th),
//! `f64` at the points of `tests/reference/elementary.txt`, made by mpmath. The tests hold them below the limits.
//!
//! | function | f32 worst | f32 limit | f64 worst | f64 limit |
//! |---|---|---|---|---|
//! | `exp` | 0.96 | 2 | 0.71 | 2 |
//! | `exp_m1` | 1.50 | 3 | 1.24 | 4 |
//! | `ln` | 0.84 | 2 | 0.65 | 2 |
//! | `ln_1p` | 2.10 | 3 | 0.72 | 4 |
//! | `tanh` | 1.34 | 2 | 1.00 | 4 |
//! | `sigmoid` | 1.71 | 2 | 1.42 | 4 |
//! | `softplus` | 1.97 | 3 | 0.96 | 4 |
//! | `erf` | 1.32 | 3 | 0.72 | 4 |
//! | `sin_cos_turns` | 1.60 | 3 | 1.06 | 4 |
//! | `sin` | 0.86 | 2 | 0.69 | 2 |
//! | `cos` | 0.85 | 2 | 0.71 | 2 |
//! | `tan` | 2.40 | 3 | 1.55 | 3 |
//! | `asin` | 2.86 | 4 | 1.36 | 4 |
//! | `acos` | 2.73 | 4 | 1.81 | 4 |
//! | `atan` | 2.09 | 4 | 1.40 | 4 |
//! | `atan2` (`f32` at samples) | 2.05 | 3 | 1.30 | 4 |
//! | `sinh`, `cosh` | 2.82 | 4 | 1.17 | 4 |
//! | `log2` | 1.55 | 3 | 0.97 | 3 |
//! | `log10` | 1.79 | 3 | 1.39 | 3 |
//! | `powf` (`f32` at samples) | 1.91 | 3 | 1.34 | 4 |
//!
//! Adding a function: its formula in a file here, its polynomial in the script, a line in [`Elementary`], its rows in
//! `tests/reference/elementary.py` and in the table of `tests/mod.rs`, its digest in `tests/bits.rs`.

#![expect(
    clippy::inline_always,
    reason = "a function is vectorized only inside the caller's loop, with the caller's CPU features"
)]

mod circular;
mod coefficients;
mod erf;
mod exponential;
mod format;
mod hyperbolic;
mod inverse;
mod logarithm;
mod pair;
mod power;
#[cfg(test)]
mod tests;
mod trigonometric;

use format::Format;

/// The elementary functions of an element type.
///
/// They are associated functions that take no `self`, so `x.exp()` cannot mean them: on a concrete `f32` that is std's
/// method, and so is the path `f32::exp(x)`, because inherent functions win. Write `Elementary::exp(x)` (or `T::exp(x)`
/// where `T` is a type parameter): it can only be ours.
pub trait Elementary: Copy {
    /// `eˣ`. Underflows gradually through the subnormals; `exp(-∞) = 0`, `exp(∞) = ∞`.
    fn exp(x: Self) -> Self;
    /// `eˣ - 1` without the cancellation near 0; `exp_m1(±0) = ±0`, `exp_m1(-∞) = -1`.
    fn exp_m1(x: Self) -> Self;
    /// The natural logarithm. `ln(±0) = -∞`, `ln(x < 0)` is NaN, `ln(∞) = ∞`.
    fn ln(x: Self) -> Self;
    /// `ln(1 + x)` without the loss of x's digits near 0; `ln_1p(±0) = ±0`, `ln_1p(-1) = -∞`, NaN below.
    fn ln_1p(x: Self) -> Self;
    /// `tanh(x) = (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ)`; `tanh(±0) = ±0`, `tanh(±∞) = ±1`.
    fn tanh(x: Self) -> Self;
    /// `1 / (1 + e⁻ˣ)`, accurate in both tails: 0 is approached through the subnormals.
    fn sigmoid(x: Self) -> Self;
    /// `ln(1 + eˣ) = max(x, 0) + ln_1p(exp(-|x|))`, which never overflows.
    fn softplus(x: Self) -> Self;
    /// `erf(x) = 2/√π ∫₀ˣ exp(-t²) dt`; `erf(±0) = ±0`, `erf(±∞) = ±1`.
    fn erf(x: Self) -> Self;
    /// `(sin 2πu, cos 2πu)`, an angle in turns, for u in [0, 1). Exact at the quarters.
    fn sin_cos_turns(u: Self) -> (Self, Self);
    /// `sin x` of an angle in radians, of any size; `sin(±0) = ±0`, NaN for ±∞.
    fn sin(x: Self) -> Self;
    /// `cos x` of an angle in radians, of any size; NaN for ±∞.
    fn cos(x: Self) -> Self;
    /// `tan x` of an angle in radians, of any size; `tan(±0) = ±0`, NaN for ±∞.
    fn tan(x: Self) -> Self;
    /// `asin x`, in [-π/2, π/2]; NaN for |x| > 1.
    fn asin(x: Self) -> Self;
    /// `acos x`, in [0, π]; NaN for |x| > 1.
    fn acos(x: Self) -> Self;
    /// `atan x`; `atan(±∞) = ±π/2`.
    fn atan(x: Self) -> Self;
    /// `(eˣ - e⁻ˣ)/2`; `sinh(±0) = ±0`.
    fn sinh(x: Self) -> Self;
    /// `(eˣ + e⁻ˣ)/2`.
    fn cosh(x: Self) -> Self;
    /// The logarithm to base 2, exact for powers of 2; as `ln` outside of (0, ∞).
    fn log2(x: Self) -> Self;
    /// The logarithm to base 10; as `ln` outside of (0, ∞).
    fn log10(x: Self) -> Self;
    /// The angle of the point (x, y), in [-π, π], with the special cases of IEEE 754's `atan2`.
    fn atan2(y: Self, x: Self) -> Self;
    /// `xᵖ` with the special cases of IEEE 754's `pow`: `x⁰ = 1` and `1ᵖ = 1` even for a NaN, a finite negative x with
    /// a p that is no integer is NaN.
    fn powf(x: Self, p: Self) -> Self;
}

impl<T: Format> Elementary for T {
    #[inline(always)]
    fn exp(x: Self) -> Self {
        exponential::exp(x)
    }
    #[inline(always)]
    fn exp_m1(x: Self) -> Self {
        exponential::exp_m1(x)
    }
    #[inline(always)]
    fn ln(x: Self) -> Self {
        logarithm::ln(x)
    }
    #[inline(always)]
    fn ln_1p(x: Self) -> Self {
        logarithm::ln_1p(x)
    }
    #[inline(always)]
    fn tanh(x: Self) -> Self {
        exponential::tanh(x)
    }
    #[inline(always)]
    fn sigmoid(x: Self) -> Self {
        exponential::sigmoid(x)
    }
    #[inline(always)]
    fn softplus(x: Self) -> Self {
        logarithm::softplus(x)
    }
    #[inline(always)]
    fn erf(x: Self) -> Self {
        erf::erf(x)
    }
    #[inline(always)]
    fn sin_cos_turns(u: Self) -> (Self, Self) {
        trigonometric::sin_cos_turns(u)
    }
    #[inline(always)]
    fn sin(x: Self) -> Self {
        circular::sin(x)
    }
    #[inline(always)]
    fn cos(x: Self) -> Self {
        circular::cos(x)
    }
    #[inline(always)]
    fn tan(x: Self) -> Self {
        circular::tan(x)
    }
    #[inline(always)]
    fn asin(x: Self) -> Self {
        inverse::asin(x)
    }
    #[inline(always)]
    fn acos(x: Self) -> Self {
        inverse::acos(x)
    }
    #[inline(always)]
    fn atan(x: Self) -> Self {
        inverse::atan(x)
    }
    #[inline(always)]
    fn sinh(x: Self) -> Self {
        hyperbolic::sinh(x)
    }
    #[inline(always)]
    fn cosh(x: Self) -> Self {
        hyperbolic::cosh(x)
    }
    #[inline(always)]
    fn log2(x: Self) -> Self {
        logarithm::log2(x)
    }
    #[inline(always)]
    fn log10(x: Self) -> Self {
        logarithm::log10(x)
    }
    #[inline(always)]
    fn atan2(y: Self, x: Self) -> Self {
        inverse::atan2(y, x)
    }
    #[inline(always)]
    fn powf(x: Self, p: Self) -> Self {
        power::powf(x, p)
    }
}
