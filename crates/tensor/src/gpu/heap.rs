//! The free blocks of a device's memory, and which of them a thread takes from.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys;

/// What the pool of a device holds.
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

/// Free blocks, by their bytes.
#[derive(Default)]
pub(super) struct Heap(Mutex<Free>);

#[derive(Default)]
struct Free {
    blocks: BTreeMap<usize, Vec<sys::CUdeviceptr>>,
    /// Whether the heap is closed: blocks that are returned then go to the common heap.
    closed: bool,
}

impl Heap {
    /// A free block of so many bytes.
    pub(super) fn take(&self, bytes: usize) -> Option<sys::CUdeviceptr> {
        lock(&self.0).blocks.get_mut(&bytes).and_then(Vec::pop)
    }

    /// Takes a block back; false if the heap is closed.
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

/// A heap of its own, on the device with this number.
#[derive(Clone)]
struct Private(usize, Arc<Heap>);

thread_local! {
    /// Where this thread takes blocks from instead of the common heap: what a recorded step uses is its own, since each
    /// replay writes there again.
    static PRIVATE: RefCell<Option<Private>> = const { RefCell::new(None) };
}

/// Calls `body` with this thread taking its blocks on a device from `heap`, or all from the common ones.
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

    /// The heap that this thread takes its blocks from on the device with this number.
    pub(super) fn heap(&self, ordinal: usize) -> Arc<Heap> {
        let own = PRIVATE.with_borrow(Clone::clone).filter(|private| private.0 == ordinal);
        own.map_or_else(|| self.common.clone(), |private| private.1)
    }
}

/// Locks what no panic leaves half written.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
