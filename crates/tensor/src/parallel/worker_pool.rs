//! Helpers: threads of rayon's pool that stay awake for a while after a piece of work, waiting for the next.
//!
//! A training step of a small net hands out work some fifty times a millisecond. Waking a thread costs about as much as
//! such a piece takes; a helper that looks at one word of memory in a loop takes up the next piece within a fraction of
//! a microsecond. After [`PATIENCE`] without work it goes back to rayon, and sleeps.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// How long a helper waits for work.
const PATIENCE: Duration = Duration::from_micros(200);
/// How often a thread that waits looks before it does something that takes longer.
const SPINS: u32 = 256;

/// Work that several threads share. It lives on the stack of the thread whose work it is.
struct Job<'a> {
    body: &'a (dyn Fn(usize) + Sync),
    pieces: usize,
    next: AtomicUsize,
}

thread_local! {
    /// Whether this thread is at work on a piece.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is at work on a piece of something shared.
pub(super) fn at_work() -> bool {
    AT_WORK.get()
}

impl Job<'_> {
    /// Works on pieces until none is left; returns what one panicked with.
    fn work(&self) -> Result<(), Box<dyn Any + Send>> {
        AT_WORK.set(true);
        let result = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let piece = self.next.fetch_add(1, Ordering::Relaxed);
                if piece >= self.pieces {
                    return;
                }
                (self.body)(piece);
            }
        }));
        AT_WORK.set(false);
        if result.is_err() {
            self.next.store(self.pieces, Ordering::Relaxed);
        }
        result
    }
}

struct Team {
    /// Held by the thread whose job it is.
    owner: Mutex<()>,
    /// [`OPEN`] while helpers may enter the job, [`ENTERED`] for each that did, [`NUMBER`] for each job so far.
    state: AtomicU64,
    job: AtomicPtr<Job<'static>>,
    /// How many helpers have left the job.
    left: AtomicU64,
    /// How many helpers are awake.
    awake: AtomicUsize,
    /// What a helper's piece panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

const OPEN: u64 = 1;
const ENTERED: u64 = 2;
const NUMBER: u64 = 1 << 20;

static TEAM: Team = Team {
    owner: Mutex::new(()),
    state: AtomicU64::new(0),
    job: AtomicPtr::new(ptr::null_mut()),
    left: AtomicU64::new(0),
    awake: AtomicUsize::new(0),
    panic: Mutex::new(None),
};

/// Calls `body` for each of the pieces, with the help of up to `helpers` other threads.
///
/// While the helpers work for another thread it does nothing and returns false.
pub(super) fn share(pieces: usize, helpers: usize, body: &(dyn Fn(usize) + Sync)) -> bool {
    let _owner = match TEAM.owner.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return false,
    };
    let job = Job { body, pieces, next: AtomicUsize::new(0) };
    TEAM.job.store(ptr::from_ref(&job).cast_mut().cast(), Ordering::Relaxed);
    TEAM.left.store(0, Ordering::Relaxed);
    let number = TEAM.state.load(Ordering::Relaxed) / NUMBER + 1;
    TEAM.state.store((number * NUMBER) | OPEN, Ordering::Release);
    for _ in TEAM.awake.load(Ordering::Relaxed)..helpers {
        TEAM.awake.fetch_add(1, Ordering::Relaxed);
        rayon::spawn(help);
    }
    let own = job.work();
    // Nobody enters from here on. Those who did refer to the job until they have left it.
    let entered = TEAM.state.fetch_and(!OPEN, Ordering::AcqRel) % NUMBER / ENTERED;
    let mut spins = 0;
    while TEAM.left.load(Ordering::Acquire) != entered {
        spins += 1;
        if spins % (64 * SPINS) == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
    }
    let theirs = TEAM.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(panic) = own.err().or(theirs) {
        resume_unwind(panic);
    }
    true
}

/// Works on every job that is shared, until there has been none for a while.
fn help() {
    let (mut last, mut since, mut spins) = (0, Instant::now(), 0u32);
    loop {
        let state = TEAM.state.load(Ordering::Acquire);
        let open = state % ENTERED == OPEN && state / NUMBER != last;
        if open && TEAM.state.compare_exchange(state, state + ENTERED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            last = state / NUMBER;
            // SAFETY: the job was open when this thread entered it, so its owner waits until this thread has left.
            let job = unsafe { &*TEAM.job.load(Ordering::Relaxed) };
            if let Err(panic) = job.work() {
                *TEAM.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            TEAM.left.fetch_add(1, Ordering::Release);
            (since, spins) = (Instant::now(), 0);
        }
        spins += 1;
        if spins % SPINS == 0 && since.elapsed() > PATIENCE {
            TEAM.awake.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        std::hint::spin_loop();
    }
}
