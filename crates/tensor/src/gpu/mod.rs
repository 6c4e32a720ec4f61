//! An open GPU and bytes on it: memory, transfers, kernel launches, captured steps. It knows no tensors.
//!
//! `context` opens a device and owns the state of the files above it, `heap` and `memory` are its pool, `functions` and
//! `launch` start kernels, `staging` and `transfer` move bytes between host and device, `graph` captures a step and
//! replays it. All work of a device is on one stream: what is launched later sees what was launched before. Only what other
//! libraries queue is on another one, by `side_stream`.

mod bf16;
mod buffer;
mod channel_stats;
pub(crate) mod context;
pub(crate) mod driver;
mod functions;
pub(crate) mod graph;
mod heap;
pub(crate) mod launch;
mod memory;
pub(crate) mod side_stream;
mod staging;
mod step_parameters;
mod tables;
mod transfer;

pub(crate) use buffer::CudaBuffer;
pub(crate) use channel_stats::ChannelStats;
pub(crate) use context::{Gpu, open};
