//! The communicator.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use chainrule_tensor::TensorOf;
use chainrule_tensor::cuda::SideStream;

use super::bootstrap::Bootstrap;
use super::library::{Comm, IN_PROGRESS, Kind, Library, REMOTE_ERROR, SUCCESS, Status};
use super::operation::{Operation, Started, Wire};
use super::place::Place;
use crate::alone::Done;
use crate::buffer::Buffer;
use crate::communicator::{Communicator, Pending};
use crate::error::DistributedError;

type Result<T, E = DistributedError> = std::result::Result<T, E>;

/// How long the end of a communicator or of the process can take: both can wait for a GPU that waits for other processes.
const FAREWELL: Duration = Duration::from_secs(5);
/// Polls without a pause, a few milliseconds; later ones are [`PAUSE`] apart.
const BUSY_POLLS: u32 = 2000;
const PAUSE: Duration = Duration::from_micros(50);

/// Processes with one GPU each, which NCCL connects.
///
/// Operations run on a stream of their own beside the backward pass. To wait for one blocks the host until the GPU has done it,
/// so that a process that does not take part is noticed. Buffers elsewhere than on the GPU are copied there and back.
pub struct Nccl {
    pub(super) library: &'static Library,
    pub(super) comm: Comm,
    pub(super) stream: SideStream,
    pub(super) ordinal: usize,
    pub(super) place: Place,
    timeout: Duration,
    /// The number of operations that were started.
    operations: Cell<u64>,
    /// The first error, after which a communicator cannot be used.
    failed: RefCell<Option<DistributedError>>,
    /// Whether NCCL's communicator is freed.
    ended: Cell<bool>,
}

impl Nccl {
    /// Connects the processes; this one uses the GPU with this index, which [`Bootstrap::device`] knows. An operation fails if
    /// another process does not take part in it within `timeout`, and so does this.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use chainrule_distributed::{Bootstrap, Communicator, Nccl};
    ///
    /// let bootstrap = Bootstrap::from_environment()?;
    /// let nccl = Nccl::new(bootstrap.device()?, &bootstrap, Duration::from_secs(60))?;
    /// println!("rank {} of {}", nccl.rank(), nccl.size());
    /// # Ok::<(), chainrule_distributed::DistributedError>(())
    /// ```
    ///
    /// # Errors
    /// If there is no NCCL of version 2.18.1 or newer, or the GPU cannot be used, or the processes do not find each other.
    pub fn new(ordinal: usize, bootstrap: &Bootstrap, timeout: Duration) -> Result<Self> {
        let (library, place) = (Library::get()?, bootstrap.place());
        if place.rank >= place.size {
            let text = format!("rank {} of {}\n  rule: ranks range from 0 to size − 1", place.rank, place.size);
            return Err(DistributedError::Unavailable(text));
        }
        let stream = SideStream::new(ordinal).map_err(|error| DistributedError::Unavailable(error.to_string()))?;
        let id = bootstrap.id(library, timeout)?;
        let (comm, status) = stream.queue(|_| library.start(place.rank, place.size, id));
        let (operations, failed, ended) = (Cell::new(0), RefCell::new(None), Cell::new(comm.is_null()));
        let nccl = Self { library, comm, stream, ordinal, place, timeout, operations, failed, ended };
        let connecting = format!("connecting with cuda:{ordinal}");
        match status {
            SUCCESS => Ok(()),
            IN_PROGRESS => nccl.poll(&connecting, |state| Ok(state == SUCCESS)),
            status => Err(nccl.fail(&connecting, status)),
        }?;
        Ok(nccl)
    }

    /// Begins an operation: its number, from 1.
    pub(super) fn begin(&self) -> Result<u64> {
        if let Some(error) = &*self.failed.borrow() {
            return Err(error.clone());
        }
        self.operations.set(self.operations.get() + 1);
        Ok(self.operations.get())
    }

    /// Waits until `done`, which is called with the state of the communicator, says so.
    pub(super) fn poll(&self, what: &dyn Display, done: impl Fn(Status) -> Result<bool, String>) -> Result<()> {
        let begun = Instant::now();
        let mut polls = 0;
        loop {
            let state = self.library.state(self.comm);
            if state != SUCCESS && state != IN_PROGRESS {
                return Err(self.fail(what, state));
            }
            match done(state) {
                Ok(true) => return Ok(()),
                Ok(false) if begun.elapsed() < self.timeout => {}
                Ok(false) => {
                    let why = format!(
                        "not all processes have taken part within {:?}: one has ended, hangs, or runs another program",
                        self.timeout
                    );
                    return Err(self.failure(DistributedError::NoAnswer, what, &why));
                }
                Err(why) => return Err(self.failure(DistributedError::Engine, what, &why)),
            }
            if polls < BUSY_POLLS {
                polls += 1;
                // Not a yield: on a busy machine each costs the time slices of all others.
                std::hint::spin_loop();
            } else {
                thread::sleep(PAUSE);
            }
        }
    }

    /// An error that NCCL has reported, kept as that of all later operations.
    pub(super) fn fail(&self, what: &dyn Display, status: Status) -> DistributedError {
        let text = self.library.text_of(self.comm, status);
        match status {
            REMOTE_ERROR => {
                self.failure(DistributedError::NoAnswer, what, &format!("another process has gone: {text}"))
            }
            _ => self.failure(DistributedError::Engine, what, &text),
        }
    }

    fn failure(&self, error: fn(String) -> DistributedError, what: &dyn Display, why: &str) -> DistributedError {
        let Place { rank, size, .. } = self.place;
        let error = error(format!("rank {rank} of {size}, {what}: {why}"));
        *self.failed.borrow_mut() = Some(error.clone());
        error
    }

    fn start<'a, T: Wire>(
        &'a self,
        kind: Kind,
        x: &TensorOf<T>,
        wrap: fn(TensorOf<T>) -> Buffer,
    ) -> Box<dyn Pending + 'a> {
        if x.numel() == 0 {
            return Box::new(Done(wrap(x.clone())));
        }
        Box::new(Started { operation: Operation::start(self, kind, x), device: x.device(), wrap })
    }

    fn start_buffer(&self, kind: Kind, x: Buffer) -> Box<dyn Pending + '_> {
        match x {
            Buffer::F32(x) => self.start(kind, &x, Buffer::F32),
            Buffer::F64(x) => self.start(kind, &x, Buffer::F64),
        }
    }
}

impl Communicator for Nccl {
    fn engine(&self) -> String {
        format!("NCCL {}", self.library.version())
    }

    fn rank(&self) -> usize {
        self.place.rank
    }

    fn size(&self) -> usize {
        self.place.size
    }

    fn local(&self) -> (usize, usize) {
        self.place.local
    }

    fn all_reduce(&self, x: Buffer) -> Box<dyn Pending + '_> {
        self.start_buffer(Kind::AllReduce, x)
    }

    fn all_gather(&self, x: Buffer) -> Box<dyn Pending + '_> {
        self.start_buffer(Kind::AllGather, x)
    }

    fn gather_equal_bytes(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(Operation::start(self, Kind::AllGather, &TensorOf::from_slice(bytes, bytes.len()))?.complete()?.to_vec())
    }

    /// A communicator that has failed does not wait for others.
    fn finish(&self) {
        if self.ended.replace(true) {
            return;
        }
        let over = DistributedError::Engine("an operation of NCCL after the communicator was finished".into());
        let failed = self.failed.borrow_mut().replace(over).is_some();
        let (library, comm) = (self.library, self.comm);
        let (done, ended) = mpsc::channel();
        thread::spawn(move || {
            let mut state = if failed { REMOTE_ERROR } else { library.finalize(comm) };
            while state == IN_PROGRESS {
                thread::sleep(PAUSE);
                state = library.state(comm);
            }
            match state {
                SUCCESS => library.destroy(comm),
                _ => library.abort(comm),
            }
            // Nobody may be waiting any more.
            let _ = done.send(());
        });
        let _ = ended.recv_timeout(FAREWELL);
    }

    /// Other machines and GPUs are not told: the processes there end when their operations fail, at the latest after the time
    /// limit, or when the launcher ends them.
    fn abort(&self, code: i32) -> ! {
        thread::spawn(move || {
            thread::sleep(FAREWELL);
            // SAFETY: ends the process.
            unsafe { libc::_exit(code) }
        });
        if !self.ended.replace(true) {
            self.library.abort(self.comm);
        }
        std::process::exit(code)
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        self.finish();
    }
}
