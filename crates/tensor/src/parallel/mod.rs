//! Parallel loops; the only place where this engine uses threads.
//!
//! Outputs are partitioned among threads, reductions are not: a reduction is split into chunks that depend on the shape
//! alone, and the partial sums are combined in a fixed order. So results have the same bits on any number of threads.
//!
//! The threads are those of rayon's pool; `worker_pool` explains why they do not use `rayon::join`.

mod worker_pool;

use std::ops::Range;

use crate::error::TensorError;

/// Calls `body` in parallel with disjoint ranges that cover `0..len`.
///
/// `grain` is the minimum number of items per task. The result for an item must not depend on how the ranges are split.
pub fn parallel_for(len: usize, grain: usize, body: impl Fn(Range<usize>) + Sync) {
    divide(len, grain, &body);
}

/// [`parallel_for`], compiled once for all kernels.
fn divide(len: usize, grain: usize, body: &(dyn Fn(Range<usize>) + Sync)) {
    if len <= grain.max(1) {
        if len > 0 {
            body(0..len);
        }
        return;
    }
    let threads = threads();
    if threads == 1 || is_shared() {
        return body(0..len);
    }
    // More pieces than threads balance the load if the system preempts a thread.
    let pieces = (len / grain.max(1)).clamp(1, 4 * threads);
    #[cfg(test)]
    let inherit = crate::cpu::simd::inherit();
    let submitted = worker_pool::submit(pieces, (threads - 1).min(pieces - 1), &|piece| {
        #[cfg(test)]
        inherit();
        body(len * piece / pieces..len * (piece + 1) / pieces);
    });
    if !submitted {
        body(0..len);
    }
}

/// Whether the calling thread is already inside a parallel loop, where nested loops run sequentially. A kernel may then use
/// larger pieces, if its results do not depend on them.
pub(crate) fn is_shared() -> bool {
    worker_pool::in_job()
}

/// Calls `body` in parallel with each chunk of `out` and its index; chunks have `chunk` elements, the last may be shorter.
pub fn parallel_chunks<T: Send>(out: &mut [T], chunk: usize, grain: usize, body: impl Fn(usize, &mut [T]) + Sync) {
    let len = out.len();
    let out = Disjoint::new(out);
    parallel_for(len.div_ceil(chunk.max(1)), grain, |range| {
        for i in range {
            let (start, end) = (i * chunk, ((i + 1) * chunk).min(len));
            // SAFETY: chunks do not overlap, and `parallel_for` visits each index once.
            body(i, unsafe { out.slice(start..end) });
        }
    });
}

/// A slice whose disjoint parts are written by several threads.
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    life: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: the contract of `slice` requires that parts do not overlap.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}
// SAFETY: as a `&mut [T]`.
unsafe impl<T: Send> Send for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), life: std::marker::PhantomData }
    }

    /// The length of the slice.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A part of the slice.
    ///
    /// # Safety
    /// Parts in use at the same time must not overlap.
    #[allow(clippy::mut_from_ref, reason = "the caller guarantees that parts do not overlap")]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: in bounds, and exclusive by this function's contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// The address of one element, for kernels that write with a stride.
    pub(crate) fn ptr(&self, index: usize) -> *mut T {
        debug_assert!(index < self.len);
        // `wrapping_add` instead of `add`, since this does not access the element.
        self.start.wrapping_add(index)
    }
}

/// Sets the number of threads of the whole program. Call it once, before any computation.
///
/// # Errors
/// [`TensorError::ThreadsAlreadySet`] if the threads are already running, in a different number.
pub fn set_threads(threads: usize) -> Result<(), TensorError> {
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build_global() {
        Err(_) if rayon::current_num_threads() != threads => {
            Err(TensorError::ThreadsAlreadySet(rayon::current_num_threads()))
        }
        _ => Ok(()),
    }
}

/// The number of threads that kernels use.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// Runs `body` with its own number of threads.
///
/// # Panics
/// If the system cannot start the threads.
pub fn with_threads<R: Send>(threads: usize, body: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("the system starts a few threads");
    #[cfg(test)]
    let inherit = crate::cpu::simd::inherit();
    pool.install(|| {
        #[cfg(test)]
        inherit();
        body()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_index_is_visited_once() {
        for (len, grain, threads) in [(0, 1, 2), (1, 1, 3), (7, 1, 2), (1000, 7, 3), (1000, 2000, 2)] {
            let seen: Vec<AtomicUsize> = (0..len).map(|_| AtomicUsize::new(0)).collect();
            with_threads(threads, || {
                parallel_for(len, grain, |range| {
                    for i in range {
                        seen[i].fetch_add(1, Ordering::Relaxed);
                    }
                });
            });
            assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1), "{len} {grain} {threads}");
        }
    }

    #[test]
    fn nested_loops_complete() {
        let count = AtomicUsize::new(0);
        with_threads(3, || {
            parallel_for(20, 1, |outer| {
                for _ in outer {
                    parallel_for(30, 1, |inner| {
                        count.fetch_add(inner.len(), Ordering::Relaxed);
                    });
                }
            });
        });
        assert_eq!(count.into_inner(), 600);
    }

    #[test]
    fn several_threads_submit_jobs_concurrently() {
        std::thread::scope(|scope| {
            for seed in 0..4 {
                scope.spawn(move || {
                    with_threads(2, || {
                        for round in 0..500 {
                            let mut out = [0; 64];
                            parallel_chunks(&mut out, 4, 1, |i, chunk| chunk.fill(seed + round + i));
                            assert!(out.iter().enumerate().all(|(i, &x)| x == seed + round + i / 4));
                        }
                    });
                });
            }
        });
    }

    #[test]
    fn a_panic_is_propagated_and_the_threads_survive() {
        let attempt = |bad: usize| {
            with_threads(3, || {
                std::panic::catch_unwind(|| {
                    parallel_for(12, 1, |range| assert!(!range.contains(&bad), "piece {bad} fails"));
                })
            })
        };
        for bad in 0..12 {
            assert!(attempt(bad).is_err());
            assert!(attempt(usize::MAX).is_ok());
        }
    }

    #[test]
    fn chunks_cover_the_slice() {
        let mut out = vec![0; 103];
        with_threads(2, || {
            parallel_chunks(&mut out, 10, 1, |i, chunk| chunk.fill(i + 1));
        });
        assert!(out.iter().enumerate().all(|(i, &v)| v == i / 10 + 1));
    }
}
