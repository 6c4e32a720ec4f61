//! What makes small graphs fast and long ones safe. The graph and the walk can be read without it.

pub(crate) mod edges;
pub(crate) mod value;
pub(crate) mod worklist;
