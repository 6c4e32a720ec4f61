//! Parameter and result types of kernels.

pub(crate) mod elementwise;
pub(crate) mod epilogue;
pub(crate) mod image;
pub(crate) mod optimizer;
