//! The properties of a floating-point format that the formulas use: its constants, its polynomials and its bits.
//!
//! `f32` and `f64` share every formula; only the constants here and the degrees of the polynomials differ.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::coefficients::{double, single};

/// A binary floating-point format with the operations that IEEE 754 rounds correctly.
pub(super) trait Format:
    Copy
    + 'static
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The unsigned integer of the same width; as an exponent it is read in two's complement.
    type Bits: Copy;

    const ZERO: Self;
    const QUARTER: Self;
    const HALF: Self;
    const ONE: Self;
    const TWO: Self;
    const THREE: Self;
    const FOUR: Self;
    const INFINITY: Self;
    const NAN: Self;
    const MIN_POSITIVE: Self;

    /// `2^(digits after the point)`, which makes every subnormal normal, and its exponent.
    const RAISE: Self;
    const RAISE_BY: Self;
    /// Below this size `x²/2` is under a quarter ulp of x, so that `exp_m1(x)` and `ln_1p(x)` round to x.
    const TINY: Self;
    /// Above, `exp` overflows; below [`Format::EXP_LOW`] it is under half the least subnormal. Both still reduce safely.
    const EXP_HIGH: Self;
    const EXP_LOW: Self;
    /// From here on `tanh(x)`, and `-exp_m1(-x)`, round to 1.
    const ONE_FROM: Self;
    /// The upper end of [`Format::ERFC_LOG`]; from here on erf rounds to 1.
    const ERF_END: Self;
    /// No exponent beyond it changes a power: the base nearest to 1 has over- or underflowed by then.
    const POWER_END: Self;
    /// `2^(half the digits) + 1`, which splits a number into two halves whose products are exact (Veltkamp).
    const SPLITTER: Self;

    const LOG2_E: Self;
    const LOG10_E: Self;
    /// log₁₀ 2 in two parts, as ln 2 below.
    const LOG10_2_HIGH: Self;
    const LOG10_2_LOW: Self;
    /// π/4 in two parts; the product of the first with up to 4 is exact.
    const EIGHTH_TURN_HIGH: Self;
    const EIGHTH_TURN_LOW: Self;
    const TAN_EIGHTH: Self;
    /// ln 2 in two parts; the first has so few digits that its product with any exponent of the format is exact.
    const LN2_HIGH: Self;
    const LN2_LOW: Self;
    /// 2π in two parts, the second for what the first rounds off; likewise 2/3.
    const TAU_HIGH: Self;
    const TAU_LOW: Self;
    const TWO_THIRDS_HIGH: Self;
    const TWO_THIRDS_LOW: Self;

    const EXP: &'static [Self];
    const LN: &'static [Self];
    const SOFTPLUS: &'static [Self];
    const LN_PAIR: &'static [Self];
    const TANH: &'static [Self];
    const TANH_SPLIT: Self;
    const ERF: &'static [Self];
    const ERFC_LOG: &'static [Self];
    const SIN_TURNS: &'static [Self];
    const COS_TURNS: &'static [Self];
    const SINE: &'static [Self];
    const COSINE: &'static [Self];
    const ATAN: &'static [Self];

    fn abs(self) -> Self;
    fn copysign(self, sign: Self) -> Self;
    fn sqrt(self) -> Self;
    fn trunc(self) -> Self;
    fn is_nan(self) -> bool;

    /// The nearest integer, as a number and as an exponent, for sizes below a quarter of `2^digits`.
    ///
    /// Adding 1.5 · 2^digits leaves no room for a fraction, so the addition itself rounds, and the integer then stands
    /// in the lowest bits. Unlike a conversion this costs one instruction on every vector unit.
    fn nearest(self) -> (Self, Self::Bits);
    /// `self · 2ⁿ`, rounded once, for n from twice the least to the greatest exponent.
    ///
    /// In two factors, since `2ⁿ` itself may be no normal number; the first product is exact, only the second rounds.
    fn scale(self, n: Self::Bits) -> Self;
    /// `2ⁿ⁻¹`, for n - 1 in the range of normal exponents; n itself may be one above.
    fn half_exp2(n: Self::Bits) -> Self;
    /// `(k, m)` with `self = 2ᵏ · m` and m in [√½, √2), for a positive normal number.
    fn split_exponent(self) -> (Self, Self);
    /// The same number, exactly.
    fn to_double(self) -> f64;
    /// The nearest number.
    fn from_double(x: f64) -> Self;
}

/// `Σ cᵢ xⁱ` by Horner's rule.
#[inline(always)]
pub(super) fn polynomial<T: Format>(x: T, coefficients: &[T]) -> T {
    let (&last, rest) = coefficients.split_last().expect("a polynomial has coefficients");
    rest.iter().rev().fold(last, |sum, &c| sum * x + c)
}

/// `min(x, bound)`; NaN propagates.
#[inline(always)]
pub(super) fn at_most<T: Format>(x: T, bound: T) -> T {
    if x > bound { bound } else { x }
}

/// `max(x, bound)`; NaN propagates.
#[inline(always)]
pub(super) fn at_least<T: Format>(x: T, bound: T) -> T {
    if x < bound { bound } else { x }
}

macro_rules! implement_format {
    ($float:ident, $bits:ident, $polynomials:ident, bias $bias:literal, sqrt_half $sqrt_half:literal,
     { $($name:ident = $value:expr;)* }) => {
        impl Format for $float {
            type Bits = $bits;

            const ZERO: Self = 0.0;
            const QUARTER: Self = 0.25;
            const HALF: Self = 0.5;
            const ONE: Self = 1.0;
            const TWO: Self = 2.0;
            const THREE: Self = 3.0;
            const FOUR: Self = 4.0;
            const INFINITY: Self = $float::INFINITY;
            const NAN: Self = $float::NAN;
            const MIN_POSITIVE: Self = $float::MIN_POSITIVE;
            const LOG2_E: Self = std::$float::consts::LOG2_E;
            const LOG10_E: Self = std::$float::consts::LOG10_E;
            const TAN_EIGHTH: Self = std::$float::consts::SQRT_2 - 1.0;
            const TAU_HIGH: Self = std::$float::consts::TAU;
            const TWO_THIRDS_HIGH: Self = 2.0 / 3.0;
            // 5/8 keeps the polynomial short and the cancellation in 1 - 2/(e²ˣ + 1) below one bit.
            const TANH_SPLIT: Self = 0.625;
            $(const $name: Self = $value;)*

            const EXP: &'static [Self] = &$polynomials::EXP;
            const LN: &'static [Self] = &$polynomials::LN;
            const SOFTPLUS: &'static [Self] = &$polynomials::SOFTPLUS;
            const LN_PAIR: &'static [Self] = &$polynomials::LN_PAIR;
            const TANH: &'static [Self] = &$polynomials::TANH;
            const ERF: &'static [Self] = &$polynomials::ERF;
            const ERFC_LOG: &'static [Self] = &$polynomials::ERFC_LOG;
            const SIN_TURNS: &'static [Self] = &$polynomials::SIN_TURNS;
            const COS_TURNS: &'static [Self] = &$polynomials::COS_TURNS;
            const SINE: &'static [Self] = &$polynomials::SINE;
            const COSINE: &'static [Self] = &$polynomials::COSINE;
            const ATAN: &'static [Self] = &$polynomials::ATAN;

            #[inline(always)]
            fn abs(self) -> Self {
                $float::abs(self)
            }
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                $float::copysign(self, sign)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }
            #[inline(always)]
            fn trunc(self) -> Self {
                $float::trunc(self)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $float::is_nan(self)
            }
            // Integer arithmetic wraps throughout: a NaN brings arbitrary bits, and the float part stays NaN anyway.
            #[inline(always)]
            fn nearest(self) -> (Self, $bits) {
                const SHIFT: $float = 1.5 / $float::EPSILON;
                let shifted = self + SHIFT;
                (shifted - SHIFT, shifted.to_bits().wrapping_sub(SHIFT.to_bits()))
            }
            #[inline(always)]
            fn scale(self, n: $bits) -> Self {
                const DIGITS: u32 = $float::MANTISSA_DIGITS - 1;
                // Both biases are added before the division, so that it divides a positive number.
                let biased: $bits = n.wrapping_add(2 * $bias);
                let half = biased >> 1;
                let rest = biased.wrapping_sub(half);
                self * $float::from_bits(half << DIGITS) * $float::from_bits(rest << DIGITS)
            }
            #[inline(always)]
            fn half_exp2(n: $bits) -> Self {
                const DIGITS: u32 = $float::MANTISSA_DIGITS - 1;
                $float::from_bits(n.wrapping_add($bias - 1) << DIGITS)
            }
            #[inline(always)]
            fn split_exponent(self) -> (Self, Self) {
                const SHIFT: $float = 1.5 / $float::EPSILON;
                const DIGITS: u32 = $float::MANTISSA_DIGITS - 1;
                const BIAS: $bits = $bias;
                let bits = self.to_bits();
                // Bits grow with the number, so the distance from √½ in whole exponents is k; the bias keeps it positive.
                let k = (bits.wrapping_sub($sqrt_half).wrapping_add(BIAS << DIGITS) >> DIGITS).wrapping_sub(BIAS);
                let m = $float::from_bits(bits.wrapping_sub(k << DIGITS));
                ($float::from_bits(SHIFT.to_bits().wrapping_add(k)) - SHIFT, m)
            }
            #[inline(always)]
            fn to_double(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn from_double(x: f64) -> Self {
                x as $float
            }
        }
    };
}

implement_format!(f32, u32, single, bias 127, sqrt_half 0x3f35_04f3, {
    RAISE = 8_388_608.0; // 2²³
    RAISE_BY = 23.0;
    TINY = 2.980_232_2e-8; // 2⁻²⁵
    EXP_HIGH = 89.0;
    EXP_LOW = -104.0;
    ONE_FROM = 20.0;
    ERF_END = 4.0;
    POWER_END = 4_294_967_296.0; // 2³²
    SPLITTER = 4_097.0; // 2¹² + 1
    LN2_HIGH = 0.693_145_75; // 15 digits
    LN2_LOW = 1.428_606_8e-6;
    LOG10_2_HIGH = 0.301_025_4; // 15 digits
    LOG10_2_LOW = 4.605_039e-6;
    EIGHTH_TURN_HIGH = f32::from_bits(0x3f49_0fd8); // 21 digits
    EIGHTH_TURN_LOW = 1.569_582_4e-7;
    TAU_LOW = -1.748_455_5e-7;
    TWO_THIRDS_LOW = -1.986_821_6e-8;
});

implement_format!(f64, u64, double, bias 1023, sqrt_half 0x3fe6_a09e_667f_3bcd, {
    RAISE = 4_503_599_627_370_496.0; // 2⁵²
    RAISE_BY = 52.0;
    TINY = 5.551_115_123_125_783e-17; // 2⁻⁵⁴
    EXP_HIGH = 710.0;
    EXP_LOW = -746.0;
    ONE_FROM = 40.0;
    ERF_END = 6.0;
    POWER_END = 18_446_744_073_709_551_616.0; // 2⁶⁴
    SPLITTER = 134_217_729.0; // 2²⁷ + 1
    LN2_HIGH = 0.693_147_180_369_123_8; // 32 digits
    LN2_LOW = 1.908_214_929_270_587_7e-10;
    LOG10_2_HIGH = 0.301_029_995_549_470_2; // 32 digits
    LOG10_2_LOW = 1.145_110_089_802_183_9e-10;
    EIGHTH_TURN_HIGH = std::f64::consts::FRAC_PI_4; // its last three digits are 0
    EIGHTH_TURN_LOW = 3.061_616_997_868_383e-17;
    TAU_LOW = 2.449_293_598_294_706_4e-16;
    TWO_THIRDS_LOW = 3.700_743_415_417_188e-17;
});
