//! A worker pool: threads of rayon's pool that spin for a while between jobs.
//!
//! A training step of a small net submits about fifty jobs per millisecond. Waking a thread costs about as much as such a
//! job; a worker that polls one memory word starts the next job within a fraction of a microsecond. After [`SPIN_TIME`]
//! without a job it returns to rayon and sleeps.
//!
//! Each thread has a place, and begins each job with its place's share of the pieces. So it finds in its own caches what it
//! wrote in the last job, such as the activations of the same samples, or in the last step, such as the same parameters'
//! moments: fetching that from another core's cache can take longer than from memory. Whoever is done takes pieces of others.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// How long an idle worker polls for a job.
const SPIN_TIME: Duration = Duration::from_micros(200);
/// The number of polls between checks of the clock.
const SPINS: u32 = 256;

/// The maximum number of places; threads beyond it share the last one.
const PLACES: usize = 64;

/// A parallel job. It lives on the stack of the thread that submitted it.
struct Job<'a> {
    body: &'a (dyn Fn(usize) + Sync),
    pieces: usize,
    /// The number of places that have a share of the pieces.
    shares: usize,
    /// For each share, how many of its pieces are taken.
    taken: [AtomicUsize; PLACES],
}

thread_local! {
    /// Whether this thread is executing a piece of a job.
    static IN_JOB: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is executing a piece of a job.
pub(super) fn in_job() -> bool {
    IN_JOB.get()
}

impl<'a> Job<'a> {
    fn new(body: &'a (dyn Fn(usize) + Sync), pieces: usize, shares: usize) -> Self {
        Self { body, pieces, shares, taken: [const { AtomicUsize::new(0) }; PLACES] }
    }

    /// Executes pieces until none is left, those of this thread's place first; returns the payload if one panicked.
    fn work(&self, place: usize) -> Result<(), Box<dyn Any + Send>> {
        IN_JOB.set(true);
        let result = catch_unwind(AssertUnwindSafe(|| {
            for share in (0..self.shares).map(|distance| (place + distance) % self.shares) {
                let [start, end] = [share, share + 1].map(|share| self.pieces * share / self.shares);
                // Looking first: many threads that are done would otherwise write to each share's counter in turn.
                while start + self.taken[share].load(Ordering::Relaxed) < end {
                    let piece = start + self.taken[share].fetch_add(1, Ordering::Relaxed);
                    if piece < end {
                        (self.body)(piece);
                    }
                }
            }
        }));
        IN_JOB.set(false);
        if result.is_err() {
            for taken in &self.taken {
                taken.store(self.pieces, Ordering::Relaxed);
            }
        }
        result
    }
}

struct WorkerPool {
    /// Held by the thread that submitted the current job.
    owner: Mutex<()>,
    /// [`OPEN`] while workers may enter the job, plus [`ENTERED`] per worker that did, plus [`NUMBER`] per job so far.
    state: AtomicU64,
    job: AtomicPtr<Job<'static>>,
    /// The number of workers that have left the job.
    left: AtomicU64,
    /// The number of workers that are running or spinning.
    awake: AtomicUsize,
    /// A bit for each place that a worker has. The first is that of whoever submits.
    places: AtomicU64,
    /// The payload of a panic in a worker.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

const OPEN: u64 = 1;
const ENTERED: u64 = 2;
const NUMBER: u64 = 1 << 20;

static POOL: WorkerPool = WorkerPool {
    owner: Mutex::new(()),
    state: AtomicU64::new(0),
    job: AtomicPtr::new(ptr::null_mut()),
    left: AtomicU64::new(0),
    awake: AtomicUsize::new(0),
    places: AtomicU64::new(1),
    panic: Mutex::new(None),
};

/// Calls `body` for each piece, on this thread and up to `workers` others.
///
/// If the pool is busy with another thread's job, it does nothing and returns false.
pub(super) fn submit(pieces: usize, workers: usize, body: &(dyn Fn(usize) + Sync)) -> bool {
    let _owner = match POOL.owner.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return false,
    };
    let job = Job::new(body, pieces, (workers + 1).min(PLACES));
    POOL.job.store(ptr::from_ref(&job).cast_mut().cast(), Ordering::Relaxed);
    POOL.left.store(0, Ordering::Relaxed);
    let number = POOL.state.load(Ordering::Relaxed) / NUMBER + 1;
    POOL.state.store((number * NUMBER) | OPEN, Ordering::Release);
    for _ in POOL.awake.load(Ordering::Relaxed)..workers {
        POOL.awake.fetch_add(1, Ordering::Relaxed);
        rayon::spawn(run_worker);
    }
    let own = job.work(0);
    // No worker can enter from here on. Those that did use the job until they leave it.
    let entered = POOL.state.fetch_and(!OPEN, Ordering::AcqRel) % NUMBER / ENTERED;
    let mut spins = 0;
    while POOL.left.load(Ordering::Acquire) != entered {
        spins += 1;
        if spins % (64 * SPINS) == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
    }
    let worker_panic = POOL.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(panic) = own.err().or(worker_panic) {
        resume_unwind(panic);
    }
    true
}

/// The first place that no thread has; the last one if all are taken.
fn take_place(places: &AtomicU64) -> usize {
    let free = |places: u64| (places.trailing_ones() as usize).min(PLACES - 1);
    let take = |places| Some(places | 1 << free(places));
    let (Ok(before) | Err(before)) = places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
    free(before)
}

/// Executes jobs until there has been none for [`SPIN_TIME`].
fn run_worker() {
    let place = take_place(&POOL.places);
    let (mut last, mut since, mut spins) = (0, Instant::now(), 0u32);
    loop {
        let state = POOL.state.load(Ordering::Acquire);
        let open = state % ENTERED == OPEN && state / NUMBER != last;
        if open && POOL.state.compare_exchange(state, state + ENTERED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            last = state / NUMBER;
            // SAFETY: the job was open when this worker entered, so its owner waits until this worker has left.
            let job = unsafe { &*POOL.job.load(Ordering::Relaxed) };
            if let Err(panic) = job.work(place) {
                *POOL.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            POOL.left.fetch_add(1, Ordering::Release);
            (since, spins) = (Instant::now(), 0);
        }
        spins += 1;
        if spins % SPINS == 0 && since.elapsed() > SPIN_TIME {
            POOL.places.fetch_and(!(1 << place), Ordering::Relaxed);
            POOL.awake.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_begins_with_its_share() {
        let order = |pieces, shares, place| {
            let seen = Mutex::new(Vec::new());
            let body = |piece| seen.lock().expect("no panic").push(piece);
            let job = Job::new(&body, pieces, shares);
            assert!(job.work(place).is_ok());
            assert!(job.work(place + 1).is_ok(), "nothing is left");
            seen.into_inner().expect("no panic")
        };
        assert_eq!(order(5, 2, 0), [0, 1, 2, 3, 4]);
        assert_eq!(order(5, 2, 1), [2, 3, 4, 0, 1]);
        assert_eq!(order(6, 3, 1), [2, 3, 4, 5, 0, 1]);
        assert_eq!(order(6, 3, 4), order(6, 3, 1), "more threads than shares");
    }

    #[test]
    fn a_place_is_the_first_that_is_free() {
        let places = AtomicU64::new(1);
        assert_eq!([(); 3].map(|()| take_place(&places)), [1, 2, 3]);
        places.fetch_and(!(1 << 2), Ordering::Relaxed);
        assert_eq!(take_place(&places), 2);
        places.store(u64::MAX >> 1, Ordering::Relaxed);
        assert_eq!([(); 2].map(|()| take_place(&places)), [PLACES - 1; 2], "the last is shared");
    }
}
