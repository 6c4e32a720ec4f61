//! Elementwise ops.

mod activation;
pub(crate) mod arithmetic;
mod elementary;
mod function;
mod maximum;
mod scalar;
mod select;

pub(in crate::ops) use activation::where_positive;
