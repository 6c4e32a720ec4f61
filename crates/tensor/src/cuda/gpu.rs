//! An open device: its context, its stream and what belongs to them.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ThreadId;

use cudarc::driver::result::DriverError;
use cudarc::driver::{result, sys};

use super::board::Board;
use super::driver::{self, DeviceReport, describe};
use super::launch::Functions;
use super::memory::Memory;
use super::table::Tables;
use super::transfer::Transfers;
use crate::device::Device;
use crate::error::TensorError;
use crate::kernel::{AdamSlot, BatchNormThen, Binary, Compare, Moments, PoolPlaces, SgdSlot, Tap, Unary};
use crate::random::Key;
use crate::shape::Shape;
use crate::shape_rules::{Conv2dOptions, Window};
use crate::tensor::TensorOf;

/// As many devices as a machine may have.
const MOST_DEVICES: usize = 16;

/// What a device holds and did, in bytes and in numbers of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CudaStats {
    /// Bytes in buffers that tensors hold now.
    pub in_use: usize,
    /// The most that [`in_use`](Self::in_use) has been.
    pub peak_in_use: usize,
    /// Bytes in free blocks that wait for the next tensor.
    pub held: usize,
    /// Bytes that the driver says are free.
    pub free: usize,
    /// Requests that asked the driver for memory.
    pub allocated: u64,
    /// Kernels started one by one.
    pub launches: u64,
    /// Recorded steps started, each as one.
    pub replays: u64,
    /// Times that the host waited for the device.
    pub synchronizations: u64,
}

/// Numbers of calls, counted as they are made.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) launches: AtomicU64,
    pub(super) replays: AtomicU64,
    pub(super) synchronizations: AtomicU64,
}

/// An open device. It is never closed: a process has it until it ends.
pub(crate) struct Gpu {
    ordinal: usize,
    pub(super) about: DeviceReport,
    context: sys::CUcontext,
    pub(super) stream: sys::CUstream,
    pub(super) memory: Memory,
    pub(super) functions: Functions,
    pub(super) tables: Tables,
    pub(super) transfers: Mutex<Transfers>,
    pub(super) board: Board,
    pub(super) counters: Counters,
    /// Whose turn it is to call the driver.
    turn: Mutex<Holder>,
    turn_over: Condvar,
    recording: AtomicBool,
}

/// The thread whose turn it is, and how often it has taken it.
#[derive(Default)]
struct Holder {
    thread: Option<ThreadId>,
    times: usize,
}

/// A thread's turn to call the driver, over when dropped. A thread may take it more than once.
pub(super) struct Turn<'a>(&'a Gpu);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut holder = lock(&self.0.turn);
        holder.times -= 1;
        if holder.times == 0 {
            holder.thread = None;
            self.0.turn_over.notify_one();
        }
    }
}

// SAFETY: the driver's handles may be used from any thread; what is ours is behind locks.
unsafe impl Send for Gpu {}
// SAFETY: as above.
unsafe impl Sync for Gpu {}

/// The device with this number, opened at the first call.
pub(super) fn open(ordinal: usize) -> Result<&'static Gpu, TensorError> {
    static GPUS: [OnceLock<Result<&'static Gpu, String>>; MOST_DEVICES] = [const { OnceLock::new() }; MOST_DEVICES];
    let opened = match GPUS.get(ordinal) {
        Some(slot) => slot.get_or_init(|| Gpu::open(ordinal).map(|gpu| &*Box::leak(Box::new(gpu)))).clone(),
        None => Err(format!("devices are numbered from 0 to {}", MOST_DEVICES - 1)),
    };
    opened.map_err(|why| TensorError::DeviceUnavailable { device: Device::Cuda(ordinal).to_string(), why })
}

thread_local! {
    /// The device whose context is this thread's.
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

impl Gpu {
    fn open(ordinal: usize) -> Result<Self, String> {
        let about = driver::usable(ordinal)?;
        let failed = |error: DriverError| format!("{} does not open: {}", about.name, describe(error));
        let device = result::device::get(ordinal as i32).map_err(failed)?;
        // SAFETY: the device is the driver's own; the context is kept until the process ends.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(failed)?;
        // SAFETY: the context was just made.
        unsafe { result::ctx::set_current(context) }.map_err(failed)?;
        CURRENT.set(Some(ordinal));
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking).map_err(failed)?;
        let transfers = Transfers::new().map_err(failed)?;
        let board = Board::new(stream).map_err(failed)?;
        Ok(Self {
            ordinal,
            about,
            context,
            stream,
            memory: Memory::default(),
            functions: Functions::default(),
            tables: Tables::default(),
            transfers: Mutex::new(transfers),
            board,
            counters: Counters::default(),
            turn: Mutex::default(),
            turn_over: Condvar::new(),
            recording: AtomicBool::new(false),
        })
    }

    /// The device's number.
    pub(super) fn ordinal(&self) -> usize {
        self.ordinal
    }

    /// The device as others name it.
    pub(crate) fn device(&self) -> Device {
        Device::Cuda(self.ordinal)
    }

    /// Makes it this thread's turn to call the driver. Calls of different threads must not mix: while one records a graph,
    /// what another launched would become part of it, and a wait would spoil it.
    pub(super) fn enter(&self) -> Turn<'_> {
        let me = std::thread::current().id();
        let mut holder = lock(&self.turn);
        while holder.thread.is_some_and(|other| other != me) {
            holder = self.turn_over.wait(holder).unwrap_or_else(PoisonError::into_inner);
        }
        (holder.thread, holder.times) = (Some(me), holder.times + 1);
        drop(holder);
        let turn = Turn(self);
        if CURRENT.get() != Some(self.ordinal) {
            // SAFETY: the context lives as long as the process.
            self.check("making the device this thread's", unsafe { result::ctx::set_current(self.context) });
            CURRENT.set(Some(self.ordinal));
        }
        turn
    }

    /// Says whether a graph is recorded, by the thread whose turn it is.
    pub(super) fn set_recording(&self, on: bool) {
        self.recording.store(on, Ordering::SeqCst);
    }

    /// Whether a graph is recorded.
    pub(super) fn is_recording(&self) -> bool {
        self.recording.load(Ordering::SeqCst)
    }

    /// Waits until all work is done.
    pub(super) fn synchronize(&self) {
        self.counters.synchronizations.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the stream lives as long as the process.
        self.check("waiting for the device", unsafe { result::stream::synchronize(self.stream) });
    }

    /// What came of a call, or a panic: after a failure of the device nothing that it computes can be trusted.
    #[track_caller]
    pub(super) fn check<R>(&self, what: &str, outcome: Result<R, DriverError>) -> R {
        outcome.unwrap_or_else(|error| panic!("{}: {what} failed: {}", self.device(), describe(error)))
    }

    pub(super) fn stats(&self) -> CudaStats {
        let _turn = self.enter();
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a kernel is called with: where it lies, if it is a tensor. A kernel runs where any of its tensors is.
pub(crate) trait Placed {
    /// The GPU that it lies on, if it does.
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        None
    }
}

impl<T> Placed for &TensorOf<T> {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        TensorOf::gpu(self)
    }
}

impl<T> Placed for &mut TensorOf<T> {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        TensorOf::gpu(self)
    }
}

impl<P: Placed> Placed for Option<P> {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        self.as_ref().and_then(Placed::gpu)
    }
}

impl<T, const N: usize> Placed for [&TensorOf<T>; N] {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        self.iter().find_map(|x| TensorOf::gpu(x))
    }
}

impl<T> Placed for &Moments<T> {}

impl<T> Placed for &[&TensorOf<T>] {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        self.iter().find_map(|x| TensorOf::gpu(x))
    }
}

impl<T> Placed for Vec<&mut TensorOf<T>> {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        self.iter().find_map(|x| TensorOf::gpu(x))
    }
}

impl Placed for Device {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        match *self {
            Self::Cpu => None,
            Self::Cuda(ordinal) => Some(open(ordinal).unwrap_or_else(|error| panic!("{error}"))),
        }
    }
}

impl Placed for &PoolPlaces {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        self.index().gpu()
    }
}

impl<T> Placed for Vec<SgdSlot<'_, T>> {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        self.first().and_then(|slot| slot.parameter.gpu())
    }
}

impl<T> Placed for Vec<AdamSlot<'_, T>> {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        self.first().and_then(|slot| slot.parameter.gpu())
    }
}

/// Arguments that are no tensors.
macro_rules! nowhere {
    ($($t:ty),+ $(,)?) => { $(impl Placed for $t {})+ };
}
nowhere!(
    Unary,
    Binary,
    Compare,
    Shape,
    Key,
    Conv2dOptions,
    f32,
    f64,
    i32,
    u8,
    bool,
    usize,
    [usize; 2],
    [bool; 3],
    &[bool]
);
nowhere!(&[Vec<Window>; 2], &[Vec<Tap>; 2]);
impl<T> Placed for BatchNormThen<'_, T> {}
