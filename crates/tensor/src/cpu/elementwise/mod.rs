//! Elementwise kernels: the functions there are, and the walks that apply them.
//!
//! The functions of one or two numbers have entries in `parameters::elementwise::functions`, of which `loops` makes loops;
//! `map` walks over one, two or three operands of any strides. Every formula is a type of its own, so that each is compiled
//! into a loop of its own, chosen outside it.

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
pub(crate) use mixed::{add_assign, cast, compare, select};

pub(crate) use crate::parameters::elementwise::{Binary, Compare, Unary};
