//! Matrix products.

mod affine;
mod matmul;
