//! The buffer pool: reuses the memory of dropped tensors, by size class.
//!
//! Allocating and freeing large blocks through the system costs a page fault per 4 KiB in every training step. With the
//! pool, a step allocates only the first time it runs.

use std::alloc::{Layout as Memory, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Every block starts on a cache line, which is also the widest vector register.
const ALIGN: usize = 64;
/// Four size classes per doubling: a block is at most 25 % larger than requested.
const STEPS: u32 = 4;
const CLASSES: usize = 60 * STEPS as usize;
/// The limit for free memory, as a multiple of the peak in use: size classes peak at different times of a step, so the free
/// memory at its end exceeds the peak.
const KEEP: usize = 2;
/// The minimum limit for free memory.
const KEEP_BYTES: usize = 64 << 20;

/// Statistics of the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes in use by tensors.
    pub in_use: usize,
    /// The peak of [`in_use`](Self::in_use).
    pub peak_in_use: usize,
    /// Bytes in free blocks.
    pub held: usize,
    /// The number of requests served from free blocks.
    pub reused: u64,
    /// The number of requests served by the system allocator.
    pub allocated: u64,
}

struct Pool {
    free: [Vec<NonNull<u8>>; CLASSES],
    stats: PoolStats,
}

// SAFETY: the pool exclusively owns its free blocks.
unsafe impl Send for Pool {}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    free: [const { Vec::new() }; CLASSES],
    stats: PoolStats { in_use: 0, peak_in_use: 0, held: 0, reused: 0, allocated: 0 },
});

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The smallest size class of at least `bytes`, and its size.
fn class_of(bytes: usize) -> (usize, usize) {
    let units = bytes.div_ceil(ALIGN).max(1);
    if units <= STEPS as usize {
        return (units - 1, units * ALIGN);
    }
    let shift = units.ilog2() - STEPS.ilog2();
    let steps = units.div_ceil(1 << shift);
    let class = shift as usize * STEPS as usize + steps - 1;
    (class, (steps << shift) * ALIGN)
}

/// The block size for a request.
pub(crate) fn size_for(bytes: usize) -> usize {
    class_of(bytes).1
}

/// The block size of a size class: the inverse of [`class_of`].
fn size_of_class(class: usize) -> usize {
    let steps = STEPS as usize;
    match class.checked_sub(steps) {
        None => (class + 1) * ALIGN,
        // Each doubling has classes of steps + 1 to 2·steps units, times a power of two.
        Some(above) => ((above % steps + steps + 1) << (above / steps)) * ALIGN,
    }
}

fn memory(size: usize) -> Memory {
    Memory::from_size_align(size, ALIGN).expect("a shape's bytes fit in isize")
}

/// Whether the pool is bypassed and each buffer has its exact size, so that valgrind detects out-of-bounds accesses:
/// `CHAINRULE_POOL=exact`.
pub(crate) fn is_exact() -> bool {
    static EXACT: OnceLock<bool> = OnceLock::new();
    *EXACT.get_or_init(|| std::env::var_os("CHAINRULE_POOL").is_some_and(|value| value == "exact"))
}

/// A block of at least `bytes` bytes, aligned to 64 and initialized: zeros if new, old contents if reused.
pub(crate) fn take(bytes: usize) -> NonNull<u8> {
    let (class, mut size) = class_of(bytes);
    if is_exact() {
        size = bytes.max(1);
    } else {
        let mut pool = pool();
        pool.stats.in_use += size;
        pool.stats.peak_in_use = pool.stats.peak_in_use.max(pool.stats.in_use);
        if let Some(block) = pool.free[class].pop() {
            pool.stats.held -= size;
            pool.stats.reused += 1;
            return block;
        }
        pool.stats.allocated += 1;
    }
    // SAFETY: `size` is not zero.
    let block = unsafe { alloc_zeroed(memory(size)) };
    NonNull::new(block).unwrap_or_else(|| handle_alloc_error(memory(size)))
}

/// Returns a block from [`take`] to the pool.
///
/// # Safety
/// `block` must come from `take(bytes)` with the same `bytes`, be returned once and not be used afterwards.
pub(crate) unsafe fn give_back(block: NonNull<u8>, bytes: usize) {
    let (class, mut size) = class_of(bytes);
    if is_exact() {
        size = bytes.max(1);
    } else {
        let mut pool = pool();
        pool.stats.in_use -= size;
        if pool.stats.held + size <= (KEEP * pool.stats.peak_in_use).max(KEEP_BYTES) {
            pool.stats.held += size;
            pool.free[class].push(block);
            return;
        }
    }
    // SAFETY: by this function's contract `block` was allocated with the same layout.
    unsafe { dealloc(block.as_ptr(), memory(size)) }
}

/// The statistics of the pool since program start.
pub fn stats() -> PoolStats {
    pool().stats
}

/// Returns all free blocks to the system and resets the peak.
pub fn trim() {
    let mut pool = pool();
    let free = std::mem::replace(&mut pool.free, [const { Vec::new() }; CLASSES]);
    pool.stats.held = 0;
    pool.stats.peak_in_use = pool.stats.in_use;
    drop(pool);
    for (class, blocks) in free.into_iter().enumerate() {
        for block in blocks {
            // SAFETY: a free block belongs to the pool and has the size of its class.
            unsafe { dealloc(block.as_ptr(), memory(size_of_class(class))) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_large_enough_with_little_waste() {
        for bytes in (0..10_000).chain([1 << 20, (1 << 20) + 1, 123_456_789]) {
            let (class, size) = class_of(bytes);
            assert!(size >= bytes && size % ALIGN == 0);
            assert!(size <= bytes.div_ceil(ALIGN).max(1) * ALIGN * 5 / 4, "{bytes} bytes in a block of {size}");
            assert_eq!(class_of(size), (class, size), "the size of a class maps to that class");
            assert!(class_of(size + 1).0 > class);
            assert_eq!(size_of_class(class), size, "the size follows from the class");
        }
    }
}
