//! How processes find each other.

use std::time::Duration;

use super::library::{Library, UniqueId};
use super::place::Place;
use super::{environment, rendezvous};
use crate::communicator::Communicator;
use crate::error::DistributedError;

type Result<T, E = DistributedError> = std::result::Result<T, E>;

/// A process among all, and how it gets the id that NCCL gives them in common.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bootstrap {
    /// From rank 0, which listens at this address, a host and a port such as `node07:29501`.
    Address {
        /// The process.
        place: Place,
        /// The address.
        address: String,
    },
    /// This one, which another engine has carried.
    Id {
        /// The process.
        place: Place,
        /// The id.
        id: [u8; 128],
    },
    /// From NCCL itself, which reads the address of rank 0 from the variable `NCCL_COMM_ID`.
    CommId {
        /// The process.
        place: Place,
    },
}

impl Bootstrap {
    /// As the variables say that torchrun, Slurm's srun or Open MPI's mpirun have set.
    ///
    /// | | torchrun | Open MPI | Slurm |
    /// |---|---|---|---|
    /// | rank | `RANK` | `OMPI_COMM_WORLD_RANK` | `SLURM_PROCID` |
    /// | size | `WORLD_SIZE` | `OMPI_COMM_WORLD_SIZE` | `SLURM_NTASKS` |
    /// | local rank | `LOCAL_RANK` | `OMPI_COMM_WORLD_LOCAL_RANK` | `SLURM_LOCALID` |
    /// | local size | `LOCAL_WORLD_SIZE` | `OMPI_COMM_WORLD_LOCAL_SIZE` | `SLURM_STEP_TASKS_PER_NODE`, `SLURM_NODEID` |
    ///
    /// Rank 0 listens at the port after `MASTER_PORT`, where torchrun itself listens, of the host `MASTER_ADDR`. Without
    /// these, Slurm's first host and a port made of its job's number are taken. If `NCCL_COMM_ID` is set, NCCL itself
    /// connects the processes.
    ///
    /// # Errors
    /// If a variable is missing or wrong; the text names it.
    pub fn from_environment() -> Result<Self> {
        let (place, address) = environment::place_and_address(&|name| std::env::var(name).ok())?;
        Ok(address.map_or(Self::CommId { place }, |address| Self::Address { place, address }))
    }

    /// For the processes of another communicator, which carries the id.
    ///
    /// # Errors
    /// If NCCL cannot be used, or another process does not answer.
    pub fn over(communicator: &dyn Communicator) -> Result<Self> {
        let (rank, size) = (communicator.rank(), communicator.size());
        // A failure of rank 0 must reach the others, which would wait for the id.
        let made = if rank == 0 { Library::get().and_then(unique_id) } else { Ok(UniqueId([0; 128])) };
        let bytes = match &made {
            Ok(id) => &id.0[..],
            Err(_) => &[],
        };
        let bytes = communicator.broadcast(bytes, 0)?;
        made?;
        let id = bytes.try_into().map_err(|_| DistributedError::Unavailable("rank 0 cannot use NCCL".into()))?;
        Ok(Self::Id { place: Place { rank, size, local: communicator.local() }, id })
    }

    /// The process among all.
    pub fn place(&self) -> Place {
        match self {
            Self::Address { place, .. } | Self::Id { place, .. } | Self::CommId { place } => *place,
        }
    }

    /// The index of the GPU of this process, as [`local_gpu`] has it.
    ///
    /// # Errors
    /// If there is no GPU, or too few.
    pub fn device(&self) -> Result<usize> {
        local_gpu(self.place().local)
    }

    /// The id.
    pub(super) fn id(&self, library: &Library, timeout: Duration) -> Result<UniqueId> {
        match self {
            Self::Id { id, .. } => Ok(UniqueId(*id)),
            Self::CommId { .. } => unique_id(library),
            Self::Address { place, .. } if place.size == 1 => unique_id(library),
            Self::Address { place, address } if place.rank == 0 => {
                let id = unique_id(library)?;
                rendezvous::give(id.0, place.size, address, timeout)?;
                Ok(id)
            }
            Self::Address { place, address } => rendezvous::ask(*place, address, timeout).map(UniqueId),
        }
    }
}

/// The index of the GPU for one of several processes of a machine, by its rank among them and their number: that rank, or 0 if
/// it sees one GPU only, as where the launcher gives each process its own.
///
/// # Errors
/// If there is no GPU, or too few.
pub fn local_gpu((rank, processes): (usize, usize)) -> Result<usize> {
    let found = chainrule_tensor::cuda::report().map_err(DistributedError::Unavailable)?.devices.len();
    match found {
        1 => Ok(0),
        _ if rank < found => Ok(rank),
        _ => Err(DistributedError::Unavailable(format!(
            "{processes} processes on this machine, but {found} GPUs\n  rule: one GPU for each process"
        ))),
    }
}

fn unique_id(library: &Library) -> Result<UniqueId> {
    library.unique_id().map_err(DistributedError::Engine)
}
