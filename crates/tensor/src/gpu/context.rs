//! An open device: its context, its stream and what belongs to them, behind one lock.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread::ThreadId;

use cudarc::driver::result::DriverError;
use cudarc::driver::{result, sys};

use super::driver::{self, DeviceReport, describe};
use super::functions::Functions;
use super::heap::{Memory, lock};
use super::staging::Staging;
use super::step_parameters::StepBlock;
use crate::error::TensorError;

/// The maximum number of devices.
const MAX_DEVICES: usize = 16;

/// Statistics of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CudaStats {
    /// Bytes in use by tensors.
    pub in_use: usize,
    /// The peak of [`in_use`](Self::in_use).
    pub peak_in_use: usize,
    /// Bytes in free blocks of the pool.
    pub held: usize,
    /// Free bytes according to the driver.
    pub free: usize,
    /// The number of allocations from the driver.
    pub allocated: u64,
    /// The number of kernel launches outside graphs.
    pub launches: u64,
    /// The number of graph launches.
    pub replays: u64,
    /// The number of synchronizations of the host with the device.
    pub synchronizations: u64,
}

/// Counters of calls.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) launches: AtomicU64,
    pub(super) replays: AtomicU64,
    pub(super) synchronizations: AtomicU64,
}

/// An open device. It stays open until the process ends.
pub(crate) struct Gpu {
    ordinal: usize,
    pub(crate) about: DeviceReport,
    context: sys::CUcontext,
    pub(super) stream: sys::CUstream,
    pub(super) memory: Memory,
    pub(super) functions: Functions,
    /// The addresses of tables that kernels read, by their bytes.
    pub(super) tables: Mutex<HashMap<Vec<u8>, u64>>,
    pub(super) staging: Mutex<Staging>,
    pub(crate) step_block: StepBlock,
    pub(super) counters: Counters,
    /// The thread that may call the driver.
    holder: Mutex<Holder>,
    released: Condvar,
    recording: AtomicBool,
}

/// The thread that holds the device's lock, and how many times it has taken it.
#[derive(Default)]
struct Holder {
    thread: Option<ThreadId>,
    times: usize,
}

/// A device's lock, held by one thread that may call the driver, released when dropped. It is reentrant.
pub(crate) struct DeviceLock<'a>(&'a Gpu);

impl Drop for DeviceLock<'_> {
    fn drop(&mut self) {
        let mut holder = lock(&self.0.holder);
        holder.times -= 1;
        if holder.times == 0 {
            holder.thread = None;
            self.0.released.notify_one();
        }
    }
}

// SAFETY: the driver's handles may be used from any thread; what is ours is behind locks.
unsafe impl Send for Gpu {}
// SAFETY: as above.
unsafe impl Sync for Gpu {}

/// The device with this index, opened at the first call.
pub(crate) fn open(ordinal: usize) -> Result<&'static Gpu, TensorError> {
    static GPUS: [OnceLock<Result<&'static Gpu, String>>; MAX_DEVICES] = [const { OnceLock::new() }; MAX_DEVICES];
    let opened = match GPUS.get(ordinal) {
        Some(slot) => slot.get_or_init(|| Gpu::open(ordinal).map(|gpu| &*Box::leak(Box::new(gpu)))).clone(),
        None => Err(format!("device indices range from 0 to {}", MAX_DEVICES - 1)),
    };
    opened.map_err(|why| TensorError::DeviceUnavailable { device: name(ordinal), why })
}

/// The name of a device in messages.
fn name(ordinal: usize) -> String {
    format!("cuda:{ordinal}")
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(self.ordinal))
    }
}

impl Gpu {
    fn open(ordinal: usize) -> Result<Self, String> {
        let about = driver::usable(ordinal)?;
        let failed = |error: DriverError| format!("{} cannot be opened: {}", about.name, describe(error));
        let device = result::device::get(ordinal as i32).map_err(failed)?;
        // SAFETY: the device is the driver's own; the context is kept until the process ends.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(failed)?;
        // SAFETY: the context was just made.
        unsafe { result::ctx::set_current(context) }.map_err(failed)?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking).map_err(failed)?;
        let staging = Staging::new().map_err(failed)?;
        let step_block = StepBlock::new(stream).map_err(failed)?;
        Ok(Self {
            ordinal,
            about,
            context,
            stream,
            memory: Memory::default(),
            functions: Functions::default(),
            tables: Mutex::default(),
            staging: Mutex::new(staging),
            step_block,
            counters: Counters::default(),
            holder: Mutex::default(),
            released: Condvar::new(),
            recording: AtomicBool::new(false),
        })
    }

    /// The index of the device.
    pub(crate) fn ordinal(&self) -> usize {
        self.ordinal
    }

    /// Locks the device for this thread. Calls of different threads must not mix: while one captures a graph, what another
    /// launched would become part of it, and a synchronization would invalidate it.
    pub(crate) fn enter(&self) -> DeviceLock<'_> {
        let me = std::thread::current().id();
        let mut holder = lock(&self.holder);
        while holder.thread.is_some_and(|other| other != me) {
            holder = self.released.wait(holder).unwrap_or_else(PoisonError::into_inner);
        }
        (holder.thread, holder.times) = (Some(me), holder.times + 1);
        drop(holder);
        let held = DeviceLock(self);
        // Asks the driver each time: other code in this process may have changed the thread's context.
        if result::ctx::get_current() != Ok(Some(self.context)) {
            // SAFETY: the context lives as long as the process.
            self.check_in_drop("setting the current context", unsafe { result::ctx::set_current(self.context) });
        }
        held
    }

    /// Sets whether a graph is being captured, by the thread that holds the lock.
    pub(crate) fn set_recording(&self, on: bool) {
        self.recording.store(on, Ordering::SeqCst);
    }

    /// Whether a graph is being captured.
    pub(crate) fn is_recording(&self) -> bool {
        self.recording.load(Ordering::SeqCst)
    }

    /// Synchronizes with the device.
    pub(crate) fn synchronize(&self) {
        self.counters.synchronizations.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the stream lives as long as the process.
        self.check("synchronizing", unsafe { result::stream::synchronize(self.stream) });
    }

    /// Unwraps the result of a driver call, or panics: after a device error no result can be trusted.
    #[track_caller]
    pub(crate) fn check<R>(&self, what: &str, outcome: Result<R, DriverError>) -> R {
        outcome.unwrap_or_else(|error| panic!("{self}: {what} failed: {}", describe(error)))
    }

    /// As [`check`](Self::check), for what runs in a `Drop`: ignores an error while a panic unwinds. After a device error all
    /// calls fail, and a second panic would abort the process before the first one is reported.
    #[track_caller]
    pub(super) fn check_in_drop(&self, what: &str, outcome: Result<(), DriverError>) {
        if !std::thread::panicking() {
            self.check(what, outcome);
        }
    }

    pub(crate) fn stats(&self) -> CudaStats {
        let _lock = self.enter();
        let usage = self.memory.usage();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CudaStats {
            in_use: usage.in_use,
            peak_in_use: usage.peak_in_use,
            held: usage.held,
            free: result::mem_get_info().map_or(0, |(free, _)| free),
            allocated: usage.allocated,
            launches: count(&self.counters.launches),
            replays: count(&self.counters.replays),
            synchronizations: count(&self.counters.synchronizations),
        }
    }
}

impl PartialEq for Gpu {
    fn eq(&self, other: &Self) -> bool {
        self.ordinal == other.ordinal
    }
}
