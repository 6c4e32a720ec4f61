//! The free blocks of a device's memory, and the heap that a thread allocates from.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys;

/// The memory usage of a device.
#[derive(Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) in_use: usize,
    pub(super) peak_in_use: usize,
    pub(super) held: usize,
    pub(super) allocated: u64,
}

/// The memory of a device.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) usage: Mutex<Usage>,
    /// The free blocks of the common heap.
    pub(super) common: Arc<Heap>,
}

/// Free blocks, by size.
#[derive(Default)]
pub(super) struct Heap(Mutex<Free>);

#[derive(Default)]
struct Free {
    blocks: BTreeMap<usize, Vec<sys::CUdeviceptr>>,
    /// Whether the heap is closed: blocks that are returned then go to the common heap.
    closed: bool,
}

impl Heap {
    /// Takes a free block of the given size.
    pub(super) fn take(&self, bytes: usize) -> Option<sys::CUdeviceptr> {
        lock(&self.0).blocks.get_mut(&bytes).and_then(Vec::pop)
    }

    /// Returns a block; false if the heap is closed.
    pub(super) fn put(&self, bytes: usize, address: sys::CUdeviceptr) -> bool {
        let mut free = lock(&self.0);
        if !free.closed {
            free.blocks.entry(bytes).or_default().push(address);
        }
        !free.closed
    }

    pub(super) fn drain(&self, close: bool) -> impl Iterator<Item = (usize, sys::CUdeviceptr)> {
        let mut free = lock(&self.0);
        free.closed |= close;
        let blocks = std::mem::take(&mut free.blocks);
        blocks.into_iter().flat_map(|(bytes, blocks)| blocks.into_iter().map(move |block| (bytes, block)))
    }
}

/// A separate heap on the device with this index.
#[derive(Clone)]
struct Private(usize, Arc<Heap>);

thread_local! {
    /// The heap that this thread allocates from instead of the common one: a captured step has its own, since each replay
    /// writes to the same blocks.
    static PRIVATE: RefCell<Option<Private>> = const { RefCell::new(None) };
}

/// Calls `body` with `heap` as this thread's heap on a device, or with the common heaps.
pub(super) fn with_heap<R>(heap: Option<(usize, &Arc<Heap>)>, body: impl FnOnce() -> R) -> R {
    struct Restore(Option<Private>);
    impl Drop for Restore {
        fn drop(&mut self) {
            PRIVATE.set(self.0.take());
        }
    }
    let _restore = Restore(PRIVATE.replace(heap.map(|(ordinal, heap)| Private(ordinal, heap.clone()))));
    body()
}

impl Memory {
    pub(super) fn usage(&self) -> Usage {
        *lock(&self.usage)
    }

    /// The heap of this thread on the device with this index.
    pub(super) fn heap(&self, ordinal: usize) -> Arc<Heap> {
        let own = PRIVATE.with_borrow(Clone::clone).filter(|private| private.0 == ordinal);
        own.map_or_else(|| self.common.clone(), |private| private.1)
    }
}

/// Locks a mutex; poisoning is ignored, since no panic leaves its contents inconsistent.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
