//! Elementwise kernels: the functions, and the maps that apply them.
//!
//! Unary and binary functions are entries of `parameters::elementwise::functions`, from which `loops` generates loops.
//! `map` iterates over one, two or three operands of any strides. Every formula is a separate type, so that each is compiled
//! into its own loop, and the function is selected outside the loop.

mod formulas;
mod loops;
mod map;
mod mixed;
#[cfg(test)]
mod opcodes;
#[cfg(test)]
mod tests;

pub(crate) use formulas::{relu, relu_backward};
pub(crate) use loops::{binary, unary};
pub(crate) use mixed::{add_assign, cast, compare, scale, select};
