//! A device's pool of memory: what a dropped tensor gives back is handed to the next one of its size class.
//!
//! Asking the driver for memory takes long and giving it back waits for the device. A block can be handed on at once,
//! for all work is on one stream: whoever gets it writes it after the last one read it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, OnceLock};

use cudarc::driver::{result, sys};

use super::gpu::{Gpu, lock};
use crate::element::Element;
use crate::pool;

/// The least bytes of a block: what the driver rounds up to by itself.
const SMALLEST: usize = 512;

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
    usage: Mutex<Usage>,
    /// The free blocks that everybody may take.
    common: Arc<Heap>,
}

/// Free blocks, by their bytes.
#[derive(Default)]
pub(super) struct Heap(Mutex<Free>);

#[derive(Default)]
struct Free {
    blocks: BTreeMap<usize, Vec<sys::CUdeviceptr>>,
    /// Whether nobody takes from it any more: what comes back then goes to the common heap.
    closed: bool,
}

impl Heap {
    /// Takes a block back; false if the heap is closed.
    fn put(&self, bytes: usize, address: sys::CUdeviceptr) -> bool {
        let mut free = lock(&self.0);
        if !free.closed {
            free.blocks.entry(bytes).or_default().push(address);
        }
        !free.closed
    }

    fn drain(&self, close: bool) -> impl Iterator<Item = (usize, sys::CUdeviceptr)> {
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
}

/// Bytes on a device, given back when dropped.
pub(super) struct Block {
    gpu: &'static Gpu,
    address: sys::CUdeviceptr,
    bytes: usize,
    heap: Arc<Heap>,
}

impl Gpu {
    /// A block of at least `bytes` bytes, which hold whatever they held before.
    ///
    /// # Panics
    /// If the device has no more memory: with what was asked, held and free.
    pub(super) fn allocate(&'static self, bytes: usize) -> Block {
        let _turn = self.enter();
        let size = if pool::is_exact() { bytes.max(1) } else { pool::size_for(bytes).max(SMALLEST) };
        let own = PRIVATE.with_borrow(Clone::clone).filter(|private| private.0 == self.ordinal());
        let heap = own.map_or_else(|| self.memory.common.clone(), |private| private.1);
        let waiting = lock(&heap.0).blocks.get_mut(&size).and_then(Vec::pop);
        let reused = waiting.is_some();
        let address = waiting.unwrap_or_else(|| self.ask_driver(size, bytes));
        let mut usage = lock(&self.memory.usage);
        usage.in_use += size;
        usage.peak_in_use = usage.peak_in_use.max(usage.in_use);
        if reused {
            usage.held -= size;
        } else {
            usage.allocated += 1;
        }
        Block { gpu: self, address, bytes: size, heap }
    }

    fn ask_driver(&'static self, size: usize, asked: usize) -> sys::CUdeviceptr {
        // SAFETY: the address is used only through the block that is made of it.
        let attempt = || unsafe { result::malloc_sync(size) };
        if let Ok(address) = attempt() {
            return address;
        }
        // Blocks of other sizes may be free: with them given back there may be room. Not while a graph is recorded,
        // when the device cannot be waited for.
        if !self.is_recording() {
            self.trim();
        }
        attempt().unwrap_or_else(|error| {
            if error.0 != sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
                return self.check("asking for memory", Err(error));
            }
            let usage = self.memory.usage();
            let free = result::mem_get_info().map_or(0, |(free, _)| free);
            let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
            panic!(
                "{}: out of memory: {:.1} MiB asked, {:.1} MiB in use, {:.1} MiB held for reuse, {:.1} MiB free ({})\n  \
                 rule: use a smaller batch or --precision bf16, or close what else uses the GPU",
                self.device(),
                mib(asked),
                mib(usage.in_use),
                mib(usage.held),
                mib(free),
                super::driver::describe(error)
            )
        })
    }

    /// Gives the free blocks that everybody may take back to the driver, and restarts the high-water mark.
    pub(super) fn trim(&'static self) {
        let _turn = self.enter();
        let mut given = 0;
        for (bytes, address) in self.memory.common.drain(false) {
            self.free_block(address);
            given += bytes;
        }
        let mut usage = lock(&self.memory.usage);
        usage.held -= given;
        usage.peak_in_use = usage.in_use;
    }

    fn free_block(&self, address: sys::CUdeviceptr) {
        // SAFETY: the block came from `malloc_sync`, and nobody has it any more. The driver waits for work under way.
        self.check("giving memory back", unsafe { result::free_sync(address) });
    }

    /// Hands the blocks of a heap, those that come back to it later too, to the common heap.
    pub(super) fn close(&self, heap: &Heap) {
        for (bytes, address) in heap.drain(true) {
            self.memory.common.put(bytes, address);
        }
    }
}

impl Block {
    /// Where it begins.
    pub(super) fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut usage = lock(&self.gpu.memory.usage);
        usage.in_use -= self.bytes;
        if pool::is_exact() && !self.gpu.is_recording() {
            drop(usage);
            let _turn = self.gpu.enter();
            return self.gpu.free_block(self.address);
        }
        usage.held += self.bytes;
        if !self.heap.put(self.bytes, self.address) {
            self.gpu.memory.common.put(self.bytes, self.address);
        }
    }
}

/// A buffer of elements on a device.
pub(crate) struct CudaBuffer<T> {
    block: Block,
    /// If the elements are stored as bf16: how many there are, and all of them as `f32` once a kernel has asked for them.
    narrow: Option<(usize, OnceLock<Block>)>,
    element: PhantomData<T>,
}

// SAFETY: the buffer owns its block; an address is a number.
unsafe impl<T: Element> Send for CudaBuffer<T> {}
// SAFETY: as above.
unsafe impl<T: Element> Sync for CudaBuffer<T> {}

impl<T: Element> CudaBuffer<T> {
    /// A buffer of `len` elements that holds whatever its block held before.
    pub(super) fn new(gpu: &'static Gpu, len: usize) -> Self {
        Self { block: gpu.allocate(len * size_of::<T>()), narrow: None, element: PhantomData }
    }

    /// A buffer of `len` elements stored as bf16.
    pub(super) fn new_narrow(gpu: &'static Gpu, len: usize) -> Self {
        Self { block: gpu.allocate(len * size_of::<u16>()), narrow: Some((len, OnceLock::new())), element: PhantomData }
    }
}

impl<T> CudaBuffer<T> {
    /// Where it begins, in the elements' own type: what is stored as bf16 is widened at the first call.
    pub(super) fn address(&self) -> u64 {
        match &self.narrow {
            None => self.block.address,
            Some((len, wide)) => {
                // The turn first: whoever has it may want the same copy.
                let _turn = self.gpu().enter();
                wide.get_or_init(|| self.gpu().widen(self.block.address, *len)).address
            }
        }
    }

    /// Whether the elements are stored as bf16.
    pub(crate) fn is_narrow(&self) -> bool {
        self.narrow.is_some()
    }

    /// Where it begins as bf16, if it is stored so.
    pub(super) fn narrow_address(&self) -> Option<u64> {
        self.narrow.as_ref().map(|_| self.block.address)
    }

    /// The device that it lies on.
    #[inline]
    pub(crate) fn gpu(&self) -> &'static Gpu {
        self.block.gpu
    }
}
