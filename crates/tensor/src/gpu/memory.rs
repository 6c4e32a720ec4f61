//! The memory pool of a device: reuses the memory of dropped tensors, by size class.
//!
//! Allocating from the driver is slow, and freeing synchronizes. A block can be reused immediately, since all work is on one
//! stream: the next owner writes a block after the last one has read it.

use std::sync::Arc;

use cudarc::driver::result::DriverError;
use cudarc::driver::{result, sys};

use super::context::Gpu;
use super::driver::describe;
use super::heap::{Heap, lock};
use crate::buffer_pool;

/// The minimum size of a block, to which the driver rounds up.
const SMALLEST: usize = 512;

/// A block of device memory, returned to the pool when dropped.
pub(crate) struct Block {
    gpu: &'static Gpu,
    address: sys::CUdeviceptr,
    bytes: usize,
    heap: Arc<Heap>,
}

impl Gpu {
    /// A block of at least `bytes` bytes with unspecified contents.
    ///
    /// # Panics
    /// If the device is out of memory; the message has the bytes requested, in use, held and free.
    pub(crate) fn allocate(&'static self, bytes: usize) -> Block {
        let _lock = self.enter();
        let size = if buffer_pool::is_exact() { bytes.max(1) } else { buffer_pool::size_for(bytes).max(SMALLEST) };
        let heap = self.memory.heap(self.ordinal());
        let waiting = heap.take(size);
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
        // Returning free blocks of other sizes to the driver may help. Not during a capture, when the host cannot
        // synchronize.
        if !self.is_recording() {
            self.trim();
        }
        attempt().unwrap_or_else(|error| {
            if error.0 != sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
                return self.check("allocating memory", Err(error));
            }
            let usage = self.memory.usage();
            let free = result::mem_get_info().map_or(0, |(free, _)| free);
            let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
            panic!(
                "{self}: out of memory: {:.1} MiB requested, {:.1} MiB in use, {:.1} MiB held for reuse, {:.1} MiB free ({})\n  \
                 rule: use a smaller batch or --precision bf16, or close other programs on the GPU",
                mib(asked),
                mib(usage.in_use),
                mib(usage.held),
                mib(free),
                describe(error)
            )
        })
    }

    /// Returns the free blocks of the common heap to the driver, and resets the peak.
    pub(crate) fn trim(&'static self) {
        let _lock = self.enter();
        let mut given = 0;
        for (bytes, address) in self.memory.common.drain(false) {
            self.check("freeing memory", free_block(address));
            given += bytes;
        }
        let mut usage = lock(&self.memory.usage);
        usage.held -= given;
        usage.peak_in_use = usage.in_use;
    }

    /// Closes a heap: its blocks, including those returned later, go to the common heap.
    pub(super) fn close(&self, heap: &Heap) {
        for (bytes, address) in heap.drain(true) {
            self.memory.common.put(bytes, address);
        }
    }
}

fn free_block(address: sys::CUdeviceptr) -> Result<(), DriverError> {
    // SAFETY: the block came from `malloc_sync`, and is not used any more. The driver waits for pending work.
    unsafe { result::free_sync(address) }
}

impl Block {
    /// The address of the block.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// The device of the block.
    #[inline]
    pub(crate) fn gpu(&self) -> &'static Gpu {
        self.gpu
    }

    /// The address of the block, which is never freed.
    pub(super) fn leak(self) -> u64 {
        std::mem::ManuallyDrop::new(self).address
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut usage = lock(&self.gpu.memory.usage);
        usage.in_use -= self.bytes;
        if buffer_pool::is_exact() && !self.gpu.is_recording() {
            drop(usage);
            let _lock = self.gpu.enter();
            return self.gpu.check_in_drop("freeing memory", free_block(self.address));
        }
        usage.held += self.bytes;
        if !self.heap.put(self.bytes, self.address) {
            self.gpu.memory.common.put(self.bytes, self.address);
        }
    }
}
