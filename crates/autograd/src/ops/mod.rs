//! The ops, each whole in one file: its formula, its kernel call and its derivative rule.
//!
//! Ops are methods of [`VarOf`](crate::VarOf); [`VarOf::record`](crate::VarOf::record) makes further ones. They panic with
//! the text of [`chainrule_tensor::shape_rules`] where shapes do not fit. `dy` is the gradient of an op's output, `dx`,
//! `dw`, `db` those of its inputs.

/// What a rule says of itself, each text the result of the method of that name.
macro_rules! describe {
    ($($method:ident: $text:expr,)+) => {
        $(fn $method(&self) -> &'static str {
            $text
        })+
    };
}

mod bias;
mod convolution;
pub(crate) mod elementwise;
mod epilogue;
mod fused;
mod linear;
mod loss;
mod normalization;
mod reduction;
mod shape;

pub use loss::cross_entropy::CrossEntropy;
pub use loss::mse::Reduction;
pub use normalization::batch_norm::BatchStatistics;
