//! What the training programs share: their flags, their loop, their reports.

pub mod device;
pub mod failure;
pub mod options;
pub mod report;
pub mod small_cnn;
pub mod train;

pub use failure::{Failure, main};
