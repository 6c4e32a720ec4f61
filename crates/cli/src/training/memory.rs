//! Whether a run fits into memory, before it begins. Without this, the system grants memory that it does not have, and ends
//! the program, or another one, when it is used.

use chainrule::nn::Snapshot;
use chainrule::prelude::*;
use chainrule::tensor::buffer_pool;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use super::control_group;
use super::train::loss;
use crate::failure::Failure;

/// The bytes that this program can still take, and what limits them.
fn available() -> (u64, String) {
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
pub fn require(what: &str, bytes: f64, help: &str) -> Result<(), Failure> {
    let (available, limit) = available();
    if bytes <= available as f64 {
        return Ok(());
    }
    Err(Failure::Run(format!(
        "{what} needs about {} of memory, and {limit} has {} left\n  {help}",
        size(bytes),
        size(available as f64)
    )))
}

fn size(bytes: f64) -> String {
    if bytes < 1e9 { format!("{:.0} MB", bytes / 1e6) } else { format!("{:.1} GB", bytes / 1e9) }
}

/// Checks that a training step on `batch` images and the evaluation of `evaluated` images fit, by measuring both for two
/// and for three images.
///
/// # Errors
/// As [`require`].
pub fn check_step(
    net: &dyn Module,
    optimizer: &mut dyn Optimizer,
    state_tensors: usize,
    image: [usize; 3],
    [batch, evaluated]: [usize; 2],
) -> Result<(), Failure> {
    let before = Snapshot::take(net, optimizer);
    let run = |images: usize, training: bool| {
        let [c, h, w] = image;
        let (x, labels) = (Tensor::zeros([images, c, h, w]), TensorOf::<i32>::zeros(images));
        buffer_pool::trim();
        let start = buffer_pool::stats().in_use;
        if training {
            net.train();
            drop(loss(net, &x, &labels).0.backward());
        } else {
            net.eval();
            no_grad(|| drop(loss(net, &x, &labels)));
        }
        (buffer_pool::stats().peak_in_use - start) as f64
    };
    let predicted = |images: usize, training| {
        let [two, three] = [2, 3].map(|n| run(n, training));
        two + (images as f64 - 2.0) * (three - two)
    };
    // The batches themselves: one in use, one waiting, one being prepared.
    let batches = |images: usize| 3.0 * (images * image.iter().product::<usize>() * size_of::<f32>()) as f64;
    let weights = (net.parameter_count() * size_of::<f32>()) as f64;
    let step = predicted(batch, true) + batches(batch) + state_tensors as f64 * weights;
    let evaluation = predicted(evaluated, false) + batches(evaluated) + state_tensors as f64 * weights;
    before.restore(net, optimizer);
    net.train();
    require(&format!("a training step on {batch} images"), step, "use a smaller --batch-size or a smaller net")?;
    require(&format!("the evaluation of {evaluated} images at a time"), evaluation, "use a smaller net")
}
