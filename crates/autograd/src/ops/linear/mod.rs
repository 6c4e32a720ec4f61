//! Matrix products.

mod affine;
mod einsum;
mod equation;
mod matmul;
