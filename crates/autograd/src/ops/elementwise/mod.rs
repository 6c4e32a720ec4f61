//! Elementwise ops.

mod activation;
pub(crate) mod arithmetic;
mod circular;
mod elementary;
mod function;
mod lerp;
mod maximum;
mod piecewise;
mod prelu;
mod rounding;
mod scalar;
mod select;

pub(in crate::ops) use activation::where_positive;
