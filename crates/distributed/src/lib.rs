//! Data-parallel training: several processes have the same net, each computes the gradients of its part of a batch, and their
//! sum is the gradient of the batch on all of them.
//!
//! A [`Communicator`] carries the gradients. Nothing here moves bytes from process to process: MPI does, by the package
//! chainrule-mpi, or NCCL, by [`Nccl`].
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
