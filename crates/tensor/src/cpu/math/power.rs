//! The power function.

use super::exponential::exp_sum;
use super::format::{Format, at_least, at_most};
use super::logarithm::decompose;
use super::pair::Pair;

/// `xᵖ`.
///
/// The exponents that networks use, -2 to 4 and ½, are a few multiplications or a square root, at most 3 roundings, and
/// an integer that multiplications would take further (each squaring doubles the error so far) goes the general way:
/// `|x|ᵖ = exp(p ln |x|)`, whose sign an odd p takes from x. There an absolute error in `p ln |x|`, which reaches 700 in
/// `f64`, is a relative error of the result; hence a logarithm of about a dozen bits more, as a [`Pair`], an exact
/// product and an exponential that takes the pair.
#[inline(always)]
pub(super) fn powf<T: Format>(x: T, p: T) -> T {
    if p == T::TWO {
        return x * x;
    }
    if p == T::HALF {
        // IEEE 754's pow has +0 and ∞ where the square root of -0 and -∞ is -0 and NaN.
        return if x == -T::INFINITY { T::INFINITY } else { (x + T::ZERO).sqrt() };
    }
    if p == -T::ONE {
        return T::ONE / x;
    }
    if p == T::ONE {
        return x;
    }
    if p == T::THREE {
        return x * x * x;
    }
    if p == T::FOUR {
        return (x * x) * (x * x);
    }
    if p == -T::TWO {
        // Inverted before squaring: x² can overflow while its inverse is still subnormal.
        return (T::ONE / x) * (T::ONE / x);
    }
    general(x, p)
}

#[inline(always)]
fn general<T: Format>(x: T, p: T) -> T {
    let a = x.abs();
    let (k, f) = decompose(a);
    let exponent = Pair::ln(k, f).scaled(at_least(at_most(p, T::POWER_END), -T::POWER_END));
    let size = exp_sum(exponent.high, exponent.low);

    let rises = p > T::ZERO;
    let size = if a == T::ZERO { if rises { T::ZERO } else { T::INFINITY } } else { size };
    let size = if a == T::INFINITY { if rises { T::INFINITY } else { T::ZERO } } else { size };

    let integer = p.trunc() == p;
    let odd = integer && (p * T::HALF).trunc() != p * T::HALF;
    let signed = if odd { size.copysign(x) } else { size };
    let undefined = x < T::ZERO && a < T::INFINITY && !integer;
    let y = if undefined || x.is_nan() || p.is_nan() { T::NAN } else { signed };
    if p == T::ZERO || x == T::ONE { T::ONE } else { y }
}
