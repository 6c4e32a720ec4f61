//! Where a process stands among the others.

/// A process among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The rank of the process.
    pub rank: usize,
    /// The number of processes.
    pub size: usize,
    /// The rank among the processes of the same machine, and their number.
    pub local: (usize, usize),
}
