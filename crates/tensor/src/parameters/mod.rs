//! What kernels take and give besides tensors and numbers.

pub(crate) mod elementwise;
pub(crate) mod epilogue;
pub(crate) mod image;
pub(crate) mod optimizer;
