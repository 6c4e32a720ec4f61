//! The communicator of MPI, such as Open MPI or MPICH: the library of the machine, by way of the crate `mpi`.
//!
//! This package is no default member of the workspace, since it needs the library and libclang to build. Programs have it
//! behind a feature.

mod request;
mod roll_call;

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::time::Duration;

use chainrule_distributed::{Buffer, Communicator, DistributedError, Pending};
use chainrule_tensor::{Device, Element, TensorOf};
use mpi::environment::{Universe, library_version};
use mpi::ffi;
use mpi::topology::{Communicator as _, SimpleCommunicator};
use mpi::traits::AsRaw;

use crate::request::{Request, Wire};

type Result<T, E = DistributedError> = std::result::Result<T, E>;

/// All processes that `mpirun`, `srun` or the like started together.
///
/// It belongs to the thread that made it. MPI moves data only while it is called: by [`Pending::progress`], and while a
/// process waits. Buffers on a GPU are copied to the host and back.
pub struct Mpi {
    /// Finalizes MPI when it is dropped, which waits for the other processes: only after a run in good order.
    universe: RefCell<ManuallyDrop<Option<Universe>>>,
    world: SimpleCommunicator,
    local: (usize, usize),
    timeout: Duration,
    /// The number of operations that were started.
    operations: Cell<u64>,
    _of_one_thread: PhantomData<*const ()>,
}

impl Mpi {
    /// Initializes MPI. An operation fails if another process does not take part in it within `timeout`.
    ///
    /// # Errors
    /// If MPI has been initialized before.
    pub fn new(timeout: Duration) -> Result<Self> {
        let (universe, _) = mpi::initialize_with_threading(mpi::Threading::Funneled)
            .ok_or_else(|| DistributedError::Unavailable("MPI was initialized before: once a process".into()))?;
        let world = universe.world();
        let of_machine = world.split_shared(world.rank());
        let local = (of_machine.rank() as usize, of_machine.size() as usize);
        Ok(Self {
            universe: RefCell::new(ManuallyDrop::new(Some(universe))),
            world,
            local,
            timeout,
            operations: Cell::new(0),
            _of_one_thread: PhantomData,
        })
    }

    fn comm(&self) -> ffi::MPI_Comm {
        self.world.as_raw()
    }

    /// Begins an operation.
    fn begin(&self) -> u64 {
        self.operations.set(self.operations.get() + 1);
        self.operations.get()
    }

    fn request<T: Wire>(&self, send: TensorOf<T>, receive: TensorOf<T>) -> Request<'_, T> {
        Request::new(self, self.begin(), send, receive)
    }

    fn sum<T: Wire>(&self, x: &TensorOf<T>) -> Request<'_, T> {
        let mut request = self.request(x.clone(), TensorOf::zeros(x.numel()));
        let (send, receive, n) = request.pointers();
        // SAFETY: both buffers have n elements and live as long as the request.
        unsafe {
            let (op, at) = (ffi::RSMPI_SUM, request.raw());
            ffi::MPI_Iallreduce(send, receive, n, T::datatype(), op, self.comm(), at);
        }
        request
    }

    fn gather<T: Wire>(&self, x: &TensorOf<T>) -> Request<'_, T> {
        let mut request = self.request(x.clone(), TensorOf::zeros(x.numel() * self.size()));
        let (send, receive, n) = request.pointers();
        // SAFETY: the buffers have n elements and n for each process, and live as long as the request.
        unsafe {
            let (datatype, at) = (T::datatype(), request.raw());
            ffi::MPI_Iallgather(send, n, datatype, receive, n, datatype, self.comm(), at);
        }
        request
    }
}

/// Starts an operation on the elements of a buffer.
macro_rules! start {
    ($self:ident, $x:ident, $operation:ident) => {{
        let device = $x.device();
        match $x {
            Buffer::F32(x) => $self.$operation(&x.to(Device::Cpu)).returning(device, Buffer::F32),
            Buffer::F64(x) => $self.$operation(&x.to(Device::Cpu)).returning(device, Buffer::F64),
        }
    }};
}

impl Communicator for Mpi {
    fn engine(&self) -> String {
        let version = library_version().unwrap_or_default();
        // Such as "Open MPI v4.1.4, package: …".
        version.split([',', '\n']).next().unwrap_or_default().trim().to_owned()
    }

    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn local(&self) -> (usize, usize) {
        self.local
    }

    fn all_reduce(&self, x: Buffer) -> Box<dyn Pending + '_> {
        start!(self, x, sum)
    }

    fn all_gather(&self, x: Buffer) -> Box<dyn Pending + '_> {
        start!(self, x, gather)
    }

    fn gather_equal_bytes(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(self.gather(&TensorOf::from_slice(bytes, bytes.len())).complete()?.to_vec())
    }

    fn finish(&self) {
        drop(self.universe.borrow_mut().take());
    }

    fn abort(&self, code: i32) -> ! {
        // SAFETY: MPI is initialized. It ends all processes, this one as well.
        unsafe { ffi::MPI_Abort(self.comm(), code) };
        std::process::exit(code)
    }
}

/// A tensor on the CPU.
fn on_cpu<T: Element>(x: &TensorOf<T>) -> &[T] {
    x.as_slice().expect("a buffer is contiguous")
}
