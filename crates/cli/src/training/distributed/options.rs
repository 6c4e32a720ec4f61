//! The flags of training in several processes.

use std::rc::Rc;
use std::time::Duration;

use chainrule_distributed::{DataParallel, Shards};
use clap::{Args, ValueEnum};

use super::processes::Processes;
use crate::failure::Failure;
use crate::numbers::positive;

/// How a run is divided among processes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Several processes")]
pub struct DistributedOptions {
    /// Train together with the other processes that mpirun, srun or torchrun started: over NCCL on GPUs, else over MPI
    #[arg(long, value_enum, value_name = "ENGINE", num_args = 0..=1, require_equals = true)]
    #[allow(clippy::option_option)] // a flag whose value is optional, in the form that clap knows
    pub distributed: Option<Option<Engine>>,
    /// Cut each batch into N shards, whose gradients are added in a fixed order: the same bits with 1, 2, 4 … up to N processes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub shards: Option<u16>,
    /// Batch normalization by the statistics of all processes, instead of those of each
    #[arg(long)]
    pub sync_batch_norm: bool,
    /// Mebibytes of gradients that the processes exchange at a time [default: 4]
    #[arg(long, value_name = "MIB", value_parser = positive, allow_negative_numbers = true)]
    bucket_mib: Option<f64>,
    /// Seconds after which the run ends if a process does not answer [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    timeout: Option<u32>,
}

/// What connects the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The MPI library of the machine, in a build with `--features mpi`
    Mpi,
    /// NVIDIA's library for GPUs, loaded when it is used
    Nccl,
}

impl DistributedOptions {
    /// Checks that a flag is given only where it means something, and with flags that it goes with. `given` says which of the
    /// others were given.
    pub fn check(&self, given: &[(&str, bool)]) -> Result<(), Failure> {
        let together = self.distributed.is_some();
        if !together {
            let own = [
                ("--sync-batch-norm", self.sync_batch_norm),
                ("--bucket-mib", self.bucket_mib.is_some()),
                ("--timeout", self.timeout.is_some()),
            ];
            if let Some((flag, _)) = own.into_iter().find(|(_, given)| *given) {
                return Err(Failure::Usage(format!("{flag} is a setting of `--distributed`")));
            }
        }
        if self.sync_batch_norm && self.shards.is_some() {
            let text = "--sync-batch-norm and --shards: a shard is normalized by its own statistics, so that its gradient does not depend on where the others are; give one of the two";
            return Err(Failure::Usage(text.into()));
        }
        let flag = if together { "--distributed" } else { "--shards" };
        match given.iter().find(|(_, given)| *given && (together || self.shards.is_some())) {
            Some((other, _)) => Err(Failure::Usage(format!("{other} is for runs without {flag}"))),
            None => Ok(()),
        }
    }

    /// Whether batches are computed in parts, by this process or several.
    pub fn divides(&self) -> bool {
        self.distributed.is_some() || self.shards.is_some()
    }

    /// What computes the gradients of a batch; `None` if one process does, of whole batches.
    ///
    /// # Errors
    /// If the shards cannot be divided among the processes.
    pub fn parallel(&self, processes: &Processes) -> Result<Option<DataParallel>, Failure> {
        let communicator = Rc::clone(processes.communicator());
        let parallel = match self.shards {
            Some(shards) => {
                let shards = Shards::new(shards.into(), &*communicator)
                    .map_err(|error| Failure::Usage(format!("--shards: {error}")))?;
                DataParallel::new(communicator, shards)
            }
            None if processes.are_several() => DataParallel::fast(communicator),
            None => return Ok(None),
        };
        Ok(Some(parallel.bucket_bytes((self.bucket_mib.unwrap_or(4.0) * f64::from(1 << 20)) as usize)))
    }

    /// The time limit of an operation.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout.unwrap_or(120).into())
    }
}
