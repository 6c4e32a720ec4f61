//! Functions applied to each element.

mod abs;
pub(crate) mod arithmetic;
mod clamp;
mod exp;
mod gelu;
mod leaky_relu;
mod log;
mod maximum;
mod mish;
mod pow;
mod relu;
pub(crate) mod scalar;
mod select;
mod sigmoid;
mod softplus;
mod swish;
mod tanh;
