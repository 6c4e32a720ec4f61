//! Optimizations for small graphs, and a drop without recursion for long ones. Not needed to understand graph and walk.

pub(crate) mod edges;
pub(crate) mod value;
pub(crate) mod worklist;
