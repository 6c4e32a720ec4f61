//! Processes that train together, as the ops that need the data of all of them see them.

use chainrule_tensor::{Float, TensorOf};

/// The processes that train replicas of one net, each on its part of the batch (data parallelism).
///
/// All calls are collective: every process calls the same functions in the same order, with tensors of the same shape, or all
/// wait for each other. The graph of one net calls them in the same order on all processes, forward and backward.
///
/// The loss that is differentiated is the sum of the losses of all processes, each of which weights its own by its share of the
/// batch. The gradient of what is computed from the data of all processes is the sum of all processes' gradients.
///
/// An implementation may leave tensors on their device, and fails by a panic.
pub trait ReplicaGroup<T: Float>: Send + Sync {
    /// The number of processes.
    fn size(&self) -> usize;

    /// The sum of `x` over all processes, the same bits on each. `x` is contiguous.
    fn all_reduce(&self, x: &TensorOf<T>) -> TensorOf<T>;

    /// The tensors of all processes along a new first axis, in the order of the processes. `x` is contiguous.
    fn all_gather(&self, x: &TensorOf<T>) -> TensorOf<T>;
}
