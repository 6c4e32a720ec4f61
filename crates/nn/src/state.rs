//! The state of layers besides parameters, with interior mutability.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use chainrule_autograd::computed_once;
use chainrule_tensor::{Float, TensorOf};

/// Training or inference mode of a layer.
#[derive(Debug)]
pub struct Mode(AtomicBool);

impl Mode {
    /// Whether the layer is in training mode. What is [recomputed](crate::Recompute) is in the mode of its first run.
    pub fn is_training(&self) -> bool {
        computed_once(|| self.0.load(Ordering::Relaxed))
    }

    /// Sets training mode or inference mode.
    pub fn set(&self, training: bool) {
        self.0.store(training, Ordering::Relaxed);
    }
}

impl Default for Mode {
    /// Training mode.
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

/// State that is saved but not learned.
#[derive(Debug)]
pub struct BufferOf<T: Float>(RwLock<TensorOf<T>>);

impl<T: Float> BufferOf<T> {
    /// A buffer with this value.
    pub fn new(value: TensorOf<T>) -> Self {
        Self(RwLock::new(value))
    }

    /// The value.
    pub fn get(&self) -> TensorOf<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the value, in place if the storage is exclusive.
    pub fn update(&self, change: impl FnOnce(&mut TensorOf<T>)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Sets the value.
    pub fn set(&self, value: TensorOf<T>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

/// A counter that is saved.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the count.
    pub fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// Increments the count and returns the previous one.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
