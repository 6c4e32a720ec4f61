//! Comparison, selection and conversion, elementwise kernels between element types, scaling, and addition in place.

#![expect(
    clippy::inline_always,
    reason = "loops are vectorized only where they are inlined into a variant of `dispatch`"
)]

use std::any::Any;

use super::map::{CHEAP, Function1, Function2, Function3, map1, map2, map3, update};
use crate::element::{Element, Float};
use crate::parameters::elementwise::Compare;
use crate::tensor::TensorOf;

pub(crate) fn compare<T: Element>(op: Compare, a: &TensorOf<T>, b: &TensorOf<T>) -> TensorOf<u8> {
    macro_rules! holds {
        ($relation:tt) => {{
            #[derive(Clone, Copy)]
            struct Relation;
            impl<T: Element> Function2<T, T, u8> for Relation {
                #[inline(always)]
                fn apply(self, a: T, b: T) -> u8 {
                    u8::from(a $relation b)
                }
            }
            map2(a, b, CHEAP, Relation)
        }};
    }
    match op {
        Compare::Equal => holds!(==),
        Compare::NotEqual => holds!(!=),
        Compare::Less => holds!(<),
        Compare::LessEqual => holds!(<=),
        Compare::Greater => holds!(>),
        Compare::GreaterEqual => holds!(>=),
    }
}

pub(crate) fn select<T: Element>(mask: &TensorOf<u8>, a: &TensorOf<T>, b: &TensorOf<T>) -> TensorOf<T> {
    #[derive(Clone, Copy)]
    struct Choice;
    impl<T: Element> Function3<u8, T, T, T> for Choice {
        #[inline(always)]
        fn apply(self, mask: u8, a: T, b: T) -> T {
            if mask == 0 { b } else { a }
        }
    }
    map3(mask, a, b, CHEAP, Choice)
}

pub(crate) fn cast<T: Element, U: Element>(x: &TensorOf<T>) -> TensorOf<U> {
    /// Converts through `f64`, which represents every value of every element type, so that only the second step rounds.
    /// The compiler removes the intermediate step if the first type's values are exact in the second.
    #[derive(Clone, Copy)]
    struct Conversion;
    impl<T: Element, U: Element> Function1<T, U> for Conversion {
        #[inline(always)]
        fn apply(self, x: T) -> U {
            U::from_f64(x.to_f64())
        }
    }
    match (x as &dyn Any).downcast_ref::<TensorOf<U>>() {
        Some(same) => same.clone(),
        None => map1(x, CHEAP, Conversion),
    }
}

/// `factor · x`, rounded once: in f32 a factor below 1e-38 would lose digits.
pub(crate) fn scale<T: Float>(x: &TensorOf<T>, factor: f64) -> TensorOf<T> {
    #[derive(Clone, Copy)]
    struct Scaled(f64);
    impl<T: Float> Function1<T, T> for Scaled {
        #[inline(always)]
        fn apply(self, x: T) -> T {
            T::from_f64(x.to_f64() * self.0)
        }
    }
    map1(x, CHEAP, Scaled(factor))
}

pub(crate) fn add_assign<T: Float>(y: &mut TensorOf<T>, x: &TensorOf<T>) {
    #[derive(Clone, Copy)]
    struct Sum;
    impl<T: Float> Function2<T, T, T> for Sum {
        #[inline(always)]
        fn apply(self, y: T, x: T) -> T {
            y + x
        }
    }
    update(y, x, CHEAP, Sum);
}
