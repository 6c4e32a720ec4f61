//! Layers that compute by the data of all processes that train together.

use std::sync::{Arc, PoisonError, RwLock};

use chainrule_autograd::{ReplicaGroup, computed_once};
use chainrule_tensor::Float;

use crate::module::{Item, Module, Visitor};

/// Normalizes by the whole batch of all processes that train together in place of the batch of each: switches all batch
/// normalizations of a net, and returns their number (`torch.nn.SyncBatchNorm.convert_sync_batchnorm`).
///
/// In training, mean and variance are those of the batches of all processes ([`VarOf::batch_norm_synchronized`]), and so are the
/// running statistics, which are the same on all processes. Inference stays as it is. A forward pass in training mode must then run
/// on all processes. γ and β, and what was saved, are unchanged.
///
/// [`VarOf::batch_norm_synchronized`]: chainrule_autograd::VarOf::batch_norm_synchronized
pub fn synchronize_batch_norm<T: Float>(net: &dyn Module<T>, group: &Arc<dyn ReplicaGroup<T>>) -> usize {
    let mut switched = Vec::new();
    net.visit(&mut Visitor::new(&mut |_, item| {
        if let Item::Synchronization(synchronization) = item {
            synchronization.set(Some(group.clone()));
            switched.push(std::ptr::from_ref(synchronization).addr());
        }
    }));
    // A layer that is shared has several paths.
    switched.sort_unstable();
    switched.dedup();
    switched.len()
}

/// The processes by whose data a layer computes, if not by its own alone.
pub struct Synchronization<T: Float>(RwLock<Option<Arc<dyn ReplicaGroup<T>>>>);

impl<T: Float> Synchronization<T> {
    /// The processes, if they are several. Those of what is [recomputed](crate::Recompute) are those of its first run.
    pub fn get(&self) -> Option<Arc<dyn ReplicaGroup<T>>> {
        let group = || self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        computed_once(|| group().filter(|group| group.size() > 1))
    }

    /// Sets the processes; with `None` the layer computes by its own data.
    pub fn set(&self, group: Option<Arc<dyn ReplicaGroup<T>>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = group;
    }
}

impl<T: Float> Default for Synchronization<T> {
    /// The data of the own process.
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}
