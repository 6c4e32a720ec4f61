//! Whether something fits into memory, before it begins. Without this, the system grants memory that it does not have, and ends
//! the program, or another one, when it is used.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use super::control_group;
use crate::failure::Failure;

/// The memory that the run may take: so many megabytes, or what the machine and its control group have left.
#[derive(Clone, Copy, Debug)]
pub struct Limit(pub Option<u64>);

/// The bytes that the run can still take, and what limits them.
fn available(limit: Limit) -> (u64, String) {
    if let Some(megabytes) = limit.0 {
        return (megabytes.saturating_mul(1_000_000), "--memory".into());
    }
    let system = System::new_with_specifics(RefreshKind::nothing().with_memory(MemoryRefreshKind::everything()));
    let machine = (system.available_memory() + system.free_swap(), "this machine".to_owned());
    let group = std::fs::read_to_string("/proc/self/cgroup").ok();
    let group = group.and_then(|groups| control_group::memory_left(&groups, "/sys/fs/cgroup".as_ref()));
    group.into_iter().chain([machine]).min_by_key(|(bytes, _)| *bytes).expect("there is at least the machine")
}

/// Checks that `bytes` can be had.
///
/// # Errors
/// What needs them, how much there is, and what to do.
pub fn require(limit: Limit, what: &str, bytes: f64, help: &str) -> Result<(), Failure> {
    let (available, owner) = available(limit);
    if bytes <= available as f64 {
        return Ok(());
    }
    Err(Failure::Run(format!(
        "{what} needs about {} of memory, and {owner} has {} left\n  {help}, or tell by --memory how much there is",
        size(bytes),
        size(available as f64)
    )))
}

fn size(bytes: f64) -> String {
    if bytes < 1e9 { format!("{:.0} MB", bytes / 1e6) } else { format!("{:.1} GB", bytes / 1e9) }
}
