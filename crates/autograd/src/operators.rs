//! `+ − · /` between variables and numbers, by value and by reference.
//!
//! Numbers are `f64` and are rounded to the type of the variable, so `0.5 * &x` works for all types.

use std::ops::{Add, Div, Mul, Neg, Sub};

use chainrule_tensor::Float;

use crate::graph::VarOf;
use crate::ops::elementwise::arithmetic;

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        operator!(@vars $trait, $method, &VarOf<T>, &VarOf<T>);
        operator!(@vars $trait, $method, VarOf<T>, &VarOf<T>);
        operator!(@vars $trait, $method, &VarOf<T>, VarOf<T>);
        operator!(@vars $trait, $method, VarOf<T>, VarOf<T>);
    };
    (@vars $trait:ident, $method:ident, $a:ty, $b:ty) => {
        impl<T: Float> $trait<$b> for $a {
            type Output = VarOf<T>;
            #[track_caller]
            fn $method(self, b: $b) -> VarOf<T> {
                arithmetic::$method(&self, &b)
            }
        }
    };
    ($trait:ident, $method:ident, |$x:ident, $s:ident| $right:expr, $left:expr) => {
        operator!(@scalar $trait, $method, &VarOf<T>, |$x, $s| $right, $left);
        operator!(@scalar $trait, $method, VarOf<T>, |$x, $s| $right, $left);
    };
    (@scalar $trait:ident, $method:ident, $var:ty, |$x:ident, $s:ident| $right:expr, $left:expr) => {
        impl<T: Float> $trait<f64> for $var {
            type Output = VarOf<T>;
            #[track_caller]
            fn $method(self, $s: f64) -> VarOf<T> {
                let $x = &self;
                $right
            }
        }
        impl<T: Float> $trait<$var> for f64 {
            type Output = VarOf<T>;
            #[track_caller]
            fn $method(self, x: $var) -> VarOf<T> {
                let ($x, $s) = (&x, self);
                $left
            }
        }
    };
}

operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);
operator!(Add, add, |x, s| x.add_number(s), x.add_number(s));
operator!(Sub, sub, |x, s| x.add_number(-s), x.subtract_from_number(s));
operator!(Mul, mul, |x, s| x.multiply_by_number(s), x.multiply_by_number(s));
operator!(Div, div, |x, s| x.divide_by_number(s), x.divide_number(s));

impl<T: Float> Neg for &VarOf<T> {
    type Output = VarOf<T>;
    #[track_caller]
    fn neg(self) -> VarOf<T> {
        self.multiply_by_number(-1.0)
    }
}

impl<T: Float> Neg for VarOf<T> {
    type Output = VarOf<T>;
    #[track_caller]
    fn neg(self) -> VarOf<T> {
        -&self
    }
}
