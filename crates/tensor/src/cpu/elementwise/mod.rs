//! Elementwise kernels: the functions there are, and the walks that apply them.
//!
//! `map` walks over one, two or three operands of any strides; the other files hold the formulas. Every formula is a
//! type of its own, so that each is compiled into a loop of its own, chosen outside it.

mod binary;
mod map;
mod mixed;
#[cfg(test)]
mod tests;
mod unary;

pub(crate) use binary::{add_assign, binary};
pub(crate) use mixed::{cast, compare, select};
pub(crate) use unary::unary;

pub(crate) use crate::parameters::elementwise::{Binary, Compare, Unary};
