//! Matrix products.

mod linear;
mod matmul;
