//! Data-parallel training: several processes have the same net, each computes the gradients of its part of a batch, and their
//! sum is the gradient of the batch on all of them.
//!
//! A [`Communicator`] carries the gradients: over MPI, by the package chainrule-mpi, or over NCCL, by [`Nccl`]. Only NCCL's
//! id goes from rank 0 to the other processes by a connection of this crate.
//! [`DataParallel`] computes the gradients of a batch: it starts their sums over the processes while the backward walk still
//! computes others, and can cut a batch into [`Shards`], so that the result has the same bits on 1, 2 or 4 processes.
//! docs/distributed.md explains both, and what they cost.

mod alone;
mod buffer;
mod communicator;
mod data_parallel;
mod differences;
mod error;
mod group;
mod nccl;
mod reducer;
mod shards;
mod step_state;

pub use alone::Alone;
pub use buffer::{Buffer, Reducible};
pub use communicator::{Communicator, Pending};
pub use data_parallel::DataParallel;
pub use differences::{Difference, differences};
pub use error::DistributedError;
pub use group::Group;
pub use nccl::{Bootstrap, Nccl, Place, local_gpu};
pub use shards::Shards;
