//! The pool of buffers: memory that a dropped tensor gives back is handed to the next one of its size class.
//!
//! Asking the system for large blocks and giving them back costs a page fault for every 4 KiB, on every step of a
//! training run. Here a step that has run once finds all its buffers waiting.

use std::alloc::{Layout as Memory, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Every block starts on a cache line, which is also the widest vector register.
const ALIGN: usize = 64;
/// Four size classes for each doubling: at most a quarter of a block is unused.
const STEPS: u32 = 4;
const CLASSES: usize = 60 * STEPS as usize;
/// Free blocks kept, as a multiple of the most bytes ever in use: classes have their peaks at different moments of a step,
/// so that what waits at its end is more than was ever in use at once.
const KEEP: usize = 2;
/// Free blocks kept however little memory is in use.
const KEEP_BYTES: usize = 64 << 20;

/// What the pool holds and did, in bytes and in numbers of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes in buffers that tensors hold now.
    pub in_use: usize,
    /// The most that [`in_use`](Self::in_use) has been.
    pub peak_in_use: usize,
    /// Bytes in free blocks that wait for the next tensor.
    pub held: usize,
    /// Requests that were served by a free block.
    pub reused: u64,
    /// Requests that asked the system for memory.
    pub allocated: u64,
}

struct Pool {
    free: [Vec<NonNull<u8>>; CLASSES],
    stats: PoolStats,
}

// SAFETY: the pool owns its free blocks, no one else has a pointer into them.
unsafe impl Send for Pool {}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    free: [const { Vec::new() }; CLASSES],
    stats: PoolStats { in_use: 0, peak_in_use: 0, held: 0, reused: 0, allocated: 0 },
});

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The smallest size class that holds `bytes`, and its size.
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

/// The bytes of the block that serves a request.
pub(crate) fn size_for(bytes: usize) -> usize {
    class_of(bytes).1
}

/// The bytes of a block of a size class: the inverse of [`class_of`].
fn size_of_class(class: usize) -> usize {
    let steps = STEPS as usize;
    match class.checked_sub(steps) {
        None => (class + 1) * ALIGN,
        // A doubling has the classes of steps + 1 to 2·steps units, times a power of two.
        Some(above) => ((above % steps + steps + 1) << (above / steps)) * ALIGN,
    }
}

fn memory(size: usize) -> Memory {
    Memory::from_size_align(size, ALIGN).expect("a shape's bytes fit in isize")
}

/// Whether every tensor gets exactly its bytes from the system and gives them back, so that valgrind sees each access
/// beyond them: if `CHAINRULE_POOL=exact` is set.
pub(crate) fn is_exact() -> bool {
    static EXACT: OnceLock<bool> = OnceLock::new();
    *EXACT.get_or_init(|| std::env::var_os("CHAINRULE_POOL").is_some_and(|value| value == "exact"))
}

/// A block of at least `bytes` bytes, aligned to 64 and initialized: zeros when new, old numbers when reused.
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

/// Takes back a block that [`take`] gave for the same number of bytes.
///
/// # Safety
/// `block` came from `take(bytes)`, is given back once and not used afterwards.
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
    // SAFETY: by this function's contract `block` was allocated with this very layout.
    unsafe { dealloc(block.as_ptr(), memory(size)) }
}

/// What the pool holds and did since the program started.
pub fn stats() -> PoolStats {
    pool().stats
}

/// Gives all free blocks back to the system and restarts the high-water mark.
pub fn trim() {
    let mut pool = pool();
    let free = std::mem::replace(&mut pool.free, [const { Vec::new() }; CLASSES]);
    pool.stats.held = 0;
    pool.stats.peak_in_use = pool.stats.in_use;
    drop(pool);
    for (class, blocks) in free.into_iter().enumerate() {
        for block in blocks {
            // SAFETY: a free block is the pool's own, of its class's size.
            unsafe { dealloc(block.as_ptr(), memory(size_of_class(class))) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_was_asked_and_waste_little() {
        for bytes in (0..10_000).chain([1 << 20, (1 << 20) + 1, 123_456_789]) {
            let (class, size) = class_of(bytes);
            assert!(size >= bytes && size % ALIGN == 0);
            assert!(size <= bytes.div_ceil(ALIGN).max(1) * ALIGN * 5 / 4, "{bytes} bytes in a block of {size}");
            assert_eq!(class_of(size), (class, size), "a class's own size belongs to it");
            assert!(class_of(size + 1).0 > class);
            assert_eq!(size_of_class(class), size, "the size follows from the class");
        }
    }
}
