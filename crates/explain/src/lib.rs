//! Explanations of gradients: every number of a backward pass with its formula, and derivations checked.
//!
//! [`explain`] walks back from a loss once and gives the steps of the walk as data: the rule of each operation in symbols and
//! with the numbers of this run, and the sum of the gradients that arrive at a value that is used more than once.
//! [`explain_element`] gives one element of a gradient as a tree of terms: for any operation, a user's own included,
//! `dL/dxᵢ = Σⱼ dyⱼ · ∂yⱼ/∂xᵢ`, and each dyⱼ is explained in turn, up to the loss.
//!
//! Nothing of this is active while a net is trained: an explanation is computed from a graph after the fact.
#![forbid(unsafe_code)]

pub mod checker;
mod column;
mod element;
mod error;
mod explanation;
mod graph;
pub mod laws;
pub mod ledger;
mod marks;
mod number;
mod page;
mod select;
mod symbols;
mod text;

pub use element::{Blocked, Element, Extent, Factor, Rest, Term, explain_element};
pub use error::ExplainError;
pub use explanation::{Arrival, Explanation, Input, Kind, Numbers, Step, Variable, explain};
pub use page::Page;
pub use symbols::Rule;
pub use text::Document;

/// The examples of the page on the ledger are tested.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/ledger.md")]
struct LedgerPage;
