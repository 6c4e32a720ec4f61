//! The communicator of NCCL, NVIDIA's library for collective operations between GPUs. It is loaded when it is first used.

mod bootstrap;
mod communicator;
mod environment;
mod hosts;
mod library;
mod operation;
mod place;
mod rendezvous;

pub use bootstrap::{Bootstrap, local_gpu};
pub use communicator::Nccl;
pub use place::Place;
