//! Optimizations for small graphs, and a drop without recursion for long ones. Not needed to understand graph and walk.

mod drop;
pub(crate) mod uses;
pub(crate) mod value;
pub(crate) mod worklist;
