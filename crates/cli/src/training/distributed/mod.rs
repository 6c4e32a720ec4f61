//! Training in several processes.

mod options;
mod processes;
mod replicas;

pub use options::DistributedOptions;
pub use processes::Processes;
pub use replicas::Replicas;
