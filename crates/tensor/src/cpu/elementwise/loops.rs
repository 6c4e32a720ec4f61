//! The loops of unary and binary functions.

use std::marker::PhantomData;

use super::formulas::{
    gelu_argument, gelu_rise, logistic, mish_slope, normal_density, normal_distribution, relu, relu_backward,
    remainder, tanh_softplus, times,
};
use super::map::{CHEAP, DEAR, Function1, Function2, RARE, map1, map2};
use crate::element::Float;
use crate::parameters::elementwise::{Binary, Unary, functions};
use crate::tensor::TensorOf;

/// Generates a loop for each entry of `functions`, where entries are described, and the tables for the tests.
macro_rules! loops {
    (
        unary { $(
            $(#[$doc:meta])*
            $name:ident $(($($number:ident),+))? = $grain:ident |$x:ident| $value:expr,
                $(
                    $(#[$backward_doc:meta])*
                    gradient $backward:ident $(($($backward_number:ident),+))?
                        = $backward_grain:ident |$dy:ident, $at:ident| $gradient:expr,
                )?
                test $instance:ident $(($($example:expr),+))? = $definition:expr;
        )+ }
        binary { $(
            $(#[$binary_doc:meta])*
            $binary:ident $label:literal = $binary_grain:ident |$a:ident, $b:ident| $result:expr;
        )+ }
    ) => {
        pub(crate) fn unary<T: Float>(op: Unary, x: &TensorOf<T>) -> TensorOf<T> {
            match op.cheapest() {
                $(Unary::$name $(($($number),+))? => {
                    #[derive(Clone, Copy)]
                    struct Formula<T> { $($($number: T,)+)? element: PhantomData<T> }
                    impl<T: Float> Function1<T, T> for Formula<T> {
                        const WIDE: bool = $grain != RARE;
                        #[inline(always)]
                        fn apply(self, $x: T) -> T {
                            $($(let $number = self.$number;)+)?
                            $value
                        }
                    }
                    map1(x, $grain, Formula::<T> { $($($number: T::from_f64($number),)+)? element: PhantomData })
                })+
            }
        }

        pub(crate) fn binary<T: Float>(op: Binary, a: &TensorOf<T>, b: &TensorOf<T>) -> TensorOf<T> {
            match op {
                $(Binary::$binary => {
                    #[derive(Clone, Copy)]
                    struct Formula;
                    impl<T: Float> Function2<T, T, T> for Formula {
                        const WIDE: bool = $binary_grain != RARE;
                        #[inline(always)]
                        fn apply(self, $a: T, $b: T) -> T {
                            $result
                        }
                    }
                    map2(a, b, $binary_grain, Formula)
                })+
                $($(Binary::$backward $(($($backward_number),+))? => {
                    #[derive(Clone, Copy)]
                    struct Formula<T> { $($($backward_number: T,)+)? element: PhantomData<T> }
                    impl<T: Float> Function2<T, T, T> for Formula<T> {
                        #[inline(always)]
                        fn apply(self, $dy: T, $at: T) -> T {
                            $($(let $backward_number = self.$backward_number;)+)?
                            $gradient
                        }
                    }
                    let formula = Formula::<T> {
                        $($($backward_number: T::from_f64($backward_number),)+)?
                        element: PhantomData,
                    };
                    map2(a, b, $backward_grain, formula)
                })?)+
            }
        }

        #[cfg(test)]
        impl Unary {
            pub(super) const NAMES: &[&str] = &[$(stringify!($name)),+];

            /// An instance of each function.
            pub(super) const EXAMPLES: &[Self] = &[$(Self::$instance $(($($example),+))?),+];

            /// The function by its definition, with the elementary functions of std.
            pub(super) fn definition(self, x: f64) -> f64 {
                match self {
                    $(Self::$name $(($($number),+))? => {
                        let $x = x;
                        $definition
                    })+
                }
            }

            /// The function of its gradient, and whether its second argument is the output y instead of x.
            pub(super) fn backward(self) -> Option<(Binary, bool)> {
                match self {
                    $(Self::$name $(($($number),+))? => {
                        // Not all gradients use the parameters.
                        let _ = ($($($number),+)?);
                        loops!(@backward $($backward $(($($backward_number),+))?, $at)?)
                    })+
                }
            }
        }

        #[cfg(test)]
        impl Binary {
            pub(super) const NAMES: &[&str] = &[$(stringify!($binary),)+ $($(stringify!($backward),)?)+];

            /// The binary functions that are not the gradient of a unary function.
            pub(super) const ARITHMETIC: &[Self] = &[$(Self::$binary),+];
        }
    };
    (@backward) => { None };
    (@backward $backward:ident $(($($number:ident),+))?, $at:ident) => {
        Some((Binary::$backward $(($($number),+))?, stringify!($at) == "y"))
    };
}

functions!(loops);
