//! The processes of a run.

use std::rc::Rc;
use std::time::Duration;

use chainrule::prelude::*;
use chainrule_distributed::{Alone, Bootstrap, Communicator, Nccl, differences};

use super::options::{DistributedOptions, Engine};
use crate::compute::ComputeOptions;
use crate::failure::Failure;

/// How long rank 0 has to report a failure before another rank does: all ranks may have the same one.
const FIRST_REPORTS: Duration = Duration::from_secs(2);

/// The processes that train together.
pub struct Processes {
    communicator: Rc<dyn Communicator>,
}

impl Processes {
    /// Connects the processes, and chooses the device and the threads of this one.
    ///
    /// # Errors
    /// If the program was built without the engine, or the engine cannot be used.
    pub fn begin(options: &DistributedOptions, compute: &ComputeOptions) -> Result<(Self, Device), Failure> {
        let Some(engine) = options.distributed else {
            if let Some(processes) = started_together() {
                eprintln!(
                    "note: {processes} processes were started together, and each trains by itself; with --distributed they train together"
                );
            }
            return Ok((Self { communicator: Rc::new(Alone) }, compute.prepare()?));
        };
        match engine.unwrap_or_else(|| if compute.wants_gpu() { Engine::Nccl } else { Engine::Mpi }) {
            Engine::Mpi => {
                let communicator = over_mpi(options)?;
                let device = compute.prepare_for(communicator.local())?;
                Ok((Self { communicator }, device))
            }
            Engine::Nccl => {
                let bootstrap = bootstrap(options)?;
                let device = compute.prepare_for(bootstrap.place().local)?;
                let Device::Cuda(ordinal) = device else {
                    return Err(Failure::Usage(format!(
                        "--distributed=nccl: NCCL connects GPUs, and the device is {device}; use --distributed=mpi"
                    )));
                };
                Ok((Self { communicator: Rc::new(Nccl::new(ordinal, &bootstrap, options.timeout())?) }, device))
            }
        }
    }

    pub fn communicator(&self) -> &Rc<dyn Communicator> {
        &self.communicator
    }

    /// Whether this process is the one that reports and saves.
    pub fn is_first(&self) -> bool {
        self.communicator.rank() == 0
    }

    pub fn are_several(&self) -> bool {
        self.communicator.size() > 1
    }

    /// How many they are and what connects them, to follow a description of the run; empty for one.
    pub fn text(&self) -> String {
        match self.communicator.size() {
            1 => String::new(),
            n => format!(" in each of {n} processes, {}", self.communicator.engine()),
        }
    }

    /// What `load` returns, which rank 0 loads before the others: what it downloads, they find.
    pub fn one_after_the_other<R>(&self, load: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
        if !self.is_first() {
            self.communicator.barrier()?;
            return load();
        }
        let loaded = load()?;
        self.communicator.barrier()?;
        Ok(loaded)
    }

    /// Checks that all processes say the same of themselves.
    ///
    /// # Errors
    /// What differs, and at which rank.
    pub fn agree(&self, facts: &[(&str, String)]) -> Result<(), Failure> {
        let own = serde_json::to_vec(facts).expect("facts are text");
        let all: Vec<Vec<(String, String)>> = self
            .communicator
            .all_gather_bytes(&own)?
            .iter()
            .map(|facts| serde_json::from_slice(facts))
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::Run(format!("another process is another program: {error}")))?;
        let found: Vec<String> = differences(&all).iter().map(ToString::to_string).collect();
        if found.is_empty() {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "the processes do not run the same thing\n  {}\n  rule: all ranks have the same program, flags, data and weights",
            found.join("\n  ")
        )))
    }

    /// Ends the run in good order: waits for the others.
    pub fn end(&self) {
        self.communicator.finish();
    }

    /// Reports a failure and ends all processes; returns the failure if there is only this one.
    pub fn fail(&self, failure: Failure) -> Failure {
        if !self.are_several() {
            return failure;
        }
        if !self.is_first() {
            std::thread::sleep(FIRST_REPORTS);
        }
        let code = failure.report(&format!("rank {}: ", self.communicator.rank()));
        self.communicator.abort(code.into())
    }
}

/// The number of processes that a launcher of MPI started, this one among them, if they are several.
fn started_together() -> Option<usize> {
    let size = |variable| std::env::var(variable).ok()?.parse().ok().filter(|&size| size > 1);
    ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"].into_iter().find_map(size)
}

#[cfg(feature = "mpi")]
fn over_mpi(options: &DistributedOptions) -> Result<Rc<dyn Communicator>, Failure> {
    Ok(Rc::new(chainrule_mpi::Mpi::new(options.timeout())?))
}

/// How the processes find each other: by the variables that launchers set, or, where `mpirun` sets no address, over MPI.
fn bootstrap(options: &DistributedOptions) -> Result<Bootstrap, Failure> {
    if cfg!(feature = "mpi")
        && started_together().is_some()
        && ["MASTER_ADDR", "NCCL_COMM_ID"].iter().all(|name| std::env::var_os(name).is_none())
    {
        let mpi = over_mpi(options)?;
        let bootstrap = Bootstrap::over(&*mpi)?;
        mpi.finish();
        return Ok(bootstrap);
    }
    Ok(Bootstrap::from_environment()?)
}

#[cfg(not(feature = "mpi"))]
fn over_mpi(_options: &DistributedOptions) -> Result<Rc<dyn Communicator>, Failure> {
    Err(Failure::Usage(
        "this program was built without MPI; from the source, with an MPI library and libclang installed (Debian: libopenmpi-dev openmpi-bin libclang-dev): cargo build --release --features mpi".into(),
    ))
}
