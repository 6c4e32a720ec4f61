//! The buffer pool: reuses the memory of dropped tensors, by size class.
//!
//! Allocating and freeing large blocks through the system costs a page fault per 4 KiB in every training step. With the
//! pool, a step allocates only the first time it runs.

use std::alloc::{Layout as Memory, alloc, dealloc};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Every block starts on a cache line, which is also the widest vector register.
const ALIGN: usize = 64;
/// Blocks of at least two huge pages are aligned to huge pages, and ask for them: on pages of 4 KiB each row of a large matrix is on
/// one of its own, and costs a miss of the address cache (TLB).
const HUGE_PAGE: usize = 2 << 20;
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

impl PoolStats {
    /// Counts a block that is now in use.
    fn count(&mut self, size: usize) {
        self.in_use += size;
        self.peak_in_use = self.peak_in_use.max(self.in_use);
    }
}

struct Pool {
    free: [Vec<NonNull<u8>>; CLASSES],
    stats: PoolStats,
}

impl Pool {
    fn reuse(&mut self, class: usize, size: usize) -> Option<NonNull<u8>> {
        let block = self.free[class].pop()?;
        self.stats.held -= size;
        self.stats.reused += 1;
        self.stats.count(size);
        Some(block)
    }
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

const ALLOCATED: &str = "the block was allocated with this size";

/// `None` if no system could have so many bytes.
fn memory(size: usize) -> Option<Memory> {
    // Not for valgrind, some versions of which refuse such alignments.
    let huge = size >= 2 * HUGE_PAGE && !is_exact();
    Memory::from_size_align(size, if huge { HUGE_PAGE } else { ALIGN }).ok()
}

/// A block of zeros from the system.
fn allocate(size: usize) -> Option<NonNull<u8>> {
    let memory = memory(size)?;
    // SAFETY: `size` is not zero.
    let block = NonNull::new(unsafe { alloc(memory) })?;
    #[cfg(target_os = "linux")]
    if memory.align() == HUGE_PAGE {
        // Without effect where the system has no huge pages; that is no error.
        // SAFETY: the range may cover the rest of the block's last page, but the advice changes no contents.
        unsafe { libc::madvise(block.as_ptr().cast(), size, libc::MADV_HUGEPAGE) };
    }
    // SAFETY: the block has `size` bytes.
    unsafe { block.write_bytes(0, size) };
    Some(block)
}

/// Whether the pool is bypassed and each buffer has its exact size, so that valgrind detects out-of-bounds accesses:
/// `CHAINRULE_POOL=exact`.
pub(crate) fn is_exact() -> bool {
    static EXACT: OnceLock<bool> = OnceLock::new();
    *EXACT.get_or_init(|| std::env::var_os("CHAINRULE_POOL").is_some_and(|value| value == "exact"))
}

/// A block of at least `bytes` bytes, aligned to 64 and initialized: zeros if new, old contents if reused. `None` if the
/// system has no memory for it, not even after the pool has returned its free blocks.
pub(crate) fn take(bytes: usize) -> Option<NonNull<u8>> {
    if is_exact() {
        return allocate(bytes.max(1));
    }
    memory(bytes)?;
    let (class, size) = class_of(bytes);
    if let Some(block) = pool().reuse(class, size) {
        return Some(block);
    }
    let block = allocate(size).or_else(|| {
        free_all();
        allocate(size)
    })?;
    let stats = &mut pool().stats;
    stats.allocated += 1;
    stats.count(size);
    Some(block)
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
    unsafe { dealloc(block.as_ptr(), memory(size).expect(ALLOCATED)) }
}

/// The statistics of the pool since program start.
pub fn stats() -> PoolStats {
    pool().stats
}

/// Returns all free blocks to the system and resets the peak.
pub fn trim() {
    free_all();
    let mut pool = pool();
    pool.stats.peak_in_use = pool.stats.in_use;
}

fn free_all() {
    let mut pool = pool();
    let free = std::mem::replace(&mut pool.free, [const { Vec::new() }; CLASSES]);
    pool.stats.held = 0;
    drop(pool);
    for (class, blocks) in free.into_iter().enumerate() {
        for block in blocks {
            // SAFETY: a free block belongs to the pool and has the size of its class.
            unsafe { dealloc(block.as_ptr(), memory(size_of_class(class)).expect(ALLOCATED)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tensor, TensorOf};

    /// More bytes than any machine can address.
    const TOO_MANY: usize = 1 << 52;

    #[test]
    #[should_panic(
        expected = "cpu: out of memory: 16777216.0 GiB requested for a tensor of shape (4503599627370496,) of f32"
    )]
    fn memory_that_cannot_be_had_is_a_panic_that_says_what_was_asked() {
        Tensor::zeros(TOO_MANY);
    }

    #[test]
    #[should_panic(expected = "17179869184.0 GiB requested for a tensor of shape (1073741824, 1073741824, 2) of f64")]
    fn more_bytes_than_a_number_can_hold_are_out_of_memory() {
        TensorOf::<f64>::zeros([1 << 30, 1 << 30, 2]);
    }

    #[test]
    #[should_panic(expected = "GiB requested for a tensor of shape (4503599627370496,) of f32")]
    fn elements_of_a_broadcast_that_have_no_room_are_a_panic() {
        let _ = Tensor::ones(1).broadcast_to(TOO_MANY).to_vec();
    }

    #[test]
    fn a_refused_request_is_not_counted() {
        let before = stats().peak_in_use;
        assert!(take(TOO_MANY).is_none());
        assert!(stats().peak_in_use < before + (1 << 40), "the peak is of memory that was there");
    }

    #[test]
    fn large_blocks_are_aligned_to_huge_pages_and_zero_when_new() {
        for bytes in [(4 << 20) - (512 << 10), (4 << 20) - 1, 4 << 20, 37 << 20] {
            let block = take(bytes).expect("some memory");
            let aligned = memory(size_for(bytes)).expect("a size").align();
            assert_eq!(aligned == HUGE_PAGE, size_for(bytes) >= 2 * HUGE_PAGE && !is_exact());
            assert!((block.as_ptr() as usize).is_multiple_of(aligned), "{bytes} bytes");
            // SAFETY: the block is of this size, exclusive, and returned once.
            unsafe {
                block.write_bytes(1, bytes);
                give_back(block, bytes);
            }
        }
        let block = allocate(5 << 20).expect("some memory");
        // SAFETY: as above; the block is not of the pool.
        unsafe {
            assert!(std::slice::from_raw_parts(block.as_ptr(), 5 << 20).iter().all(|&byte| byte == 0));
            dealloc(block.as_ptr(), memory(5 << 20).expect(ALLOCATED));
        }
    }

    #[test]
    fn classes_are_large_enough_with_little_waste() {
        for bytes in (0..10_000).chain([1 << 20, (1 << 20) + 1, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 123_456_789]) {
            let (class, size) = class_of(bytes);
            assert!(size >= bytes && size % ALIGN == 0);
            assert!(size <= bytes.div_ceil(ALIGN).max(1) * ALIGN * 5 / 4, "{bytes} bytes in a block of {size}");
            assert_eq!(class_of(size), (class, size), "the size of a class maps to that class");
            assert!(class_of(size + 1).0 > class);
            assert_eq!(size_of_class(class), size, "the size follows from the class");
        }
    }
}
