//! The ops. The file of an op contains its formula, its kernel call and its derivative rule.
//!
//! Ops are methods of [`VarOf`](crate::VarOf); custom ops use [`VarOf::record`](crate::VarOf::record). If shapes do not
//! match, they panic with the message of [`chainrule_tensor::shape_rules`]. `dy` is the gradient of the output, and
//! `dx`, `dw`, `db` are those of the inputs.

/// Implements the methods of a rule that return constant texts, from lines `method: text`.
macro_rules! describe {
    ($($method:ident: $text:expr,)+) => {
        $(fn $method(&self) -> &'static str {
            $text
        })+
    };
}

/// The constant texts of a rule (see the methods of [`Rule`](crate::Rule)).
struct Text {
    name: &'static str,
    formula: &'static str,
    derivative: &'static str,
    saved: &'static str,
}

/// `[name: formula => derivative, saves saved; …]` as an array of [`Text`].
macro_rules! texts {
    ($($name:literal: $formula:literal => $derivative:literal, saves $saved:literal;)+) => {
        [$($crate::ops::Text { name: $name, formula: $formula, derivative: $derivative, saved: $saved }),+]
    };
}

mod composed;
mod convolution;
pub(crate) mod elementwise;
mod epilogue;
mod fused;
mod linear;
mod linear_map;
mod loss;
mod normalization;
mod reduction;
mod shape;

pub use loss::cross_entropy::CrossEntropy;
pub use loss::mse::Reduction;
pub use loss::nll::NllLoss;
pub use normalization::processes::BatchStatistics;
