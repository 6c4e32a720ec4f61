//! Scalars: plain facts about the number types that tensors hold.

use std::fmt::{Debug, Display};
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Rem, Sub, SubAssign};

use crate::cpu::math::Elementary;
use crate::cpu::simd::{Levels, Wide};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for i32 {}
    impl Sealed for u8 {}
}

/// A number type: `f32`, `f64`, `i32` or `u8`.
pub trait Scalar:
    sealed::Sealed + Levels + Copy + PartialEq + PartialOrd + Default + Debug + Display + Send + Sync + 'static
{
    /// Its name: `f32`, `f64`, `i32`, `u8`.
    const NAME: &'static str;
    /// The number 0.
    const ZERO: Self;
    /// The number 1.
    const ONE: Self;
    /// The lowest value: −∞ for floats.
    const LOWEST: Self;
    /// The highest value: +∞ for floats.
    const HIGHEST: Self;

    /// This number as an `f64`.
    fn to_f64(self) -> f64;
    /// The nearest number of this type (integers: rounded towards zero, cut off at the type's ends).
    fn from_f64(x: f64) -> Self;
    /// Whether this is NaN; never for integers.
    fn is_nan(self) -> bool;
}

/// `f32` or `f64`: a number type with arithmetic and the elementary functions.
pub trait Real:
    Scalar
    + Elementary
    + Wide
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Rem<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
{
    /// The distance from 1 to the next number.
    const EPSILON: Self;

    /// The absolute value.
    #[must_use]
    fn abs(self) -> Self;
    /// The square root, correctly rounded; NaN below 0.
    #[must_use]
    fn sqrt(self) -> Self;
    /// The largest integer that is not above.
    #[must_use]
    fn floor(self) -> Self;
    /// The smallest integer that is not below.
    #[must_use]
    fn ceil(self) -> Self;
    /// The nearest integer; of two the even one.
    #[must_use]
    fn round_ties_even(self) -> Self;
    /// The integer part.
    #[must_use]
    fn trunc(self) -> Self;
}

macro_rules! scalar {
    ($t:ty, $low:expr, $high:expr, |$x:ident| $nan:expr) => {
        impl Scalar for $t {
            const NAME: &'static str = stringify!($t);
            const ZERO: Self = 0 as $t;
            const ONE: Self = 1 as $t;
            const LOWEST: Self = $low;
            const HIGHEST: Self = $high;

            #[inline]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline]
            fn is_nan(self) -> bool {
                let $x = self;
                $nan
            }
        }
    };
}

scalar!(f32, f32::NEG_INFINITY, f32::INFINITY, |x| f32::is_nan(x));
scalar!(f64, f64::NEG_INFINITY, f64::INFINITY, |x| f64::is_nan(x));
scalar!(i32, i32::MIN, i32::MAX, |_x| false);
scalar!(u8, u8::MIN, u8::MAX, |_x| false);

macro_rules! real {
    ($t:ty) => {
        impl Real for $t {
            const EPSILON: Self = <$t>::EPSILON;

            #[inline]
            fn abs(self) -> Self {
                <$t>::abs(self)
            }
            #[inline]
            fn sqrt(self) -> Self {
                <$t>::sqrt(self)
            }
            #[inline]
            fn floor(self) -> Self {
                <$t>::floor(self)
            }
            #[inline]
            fn ceil(self) -> Self {
                <$t>::ceil(self)
            }
            #[inline]
            fn round_ties_even(self) -> Self {
                <$t>::round_ties_even(self)
            }
            #[inline]
            fn trunc(self) -> Self {
                <$t>::trunc(self)
            }
        }
    };
}

real!(f32);
real!(f64);
