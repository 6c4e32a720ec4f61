//! Operations that MPI works on.

use std::ffi::{c_int, c_void};
use std::thread;
use std::time::{Duration, Instant};

use chainrule_distributed::{Buffer, DistributedError, Pending};
use chainrule_tensor::{Device, Element, TensorOf};
use mpi::ffi;

use crate::{Mpi, on_cpu, roll_call};

/// How often MPI is asked for the end of an operation before this thread yields its core: some tenths of a millisecond. A
/// yielded core may be lost for milliseconds where other programs run.
const TESTS_BEFORE_YIELDING: u64 = 2000;

/// An element type that MPI knows.
pub(crate) trait Wire: Element {
    fn datatype() -> ffi::MPI_Datatype;
}

macro_rules! wire {
    ($t:ty, $datatype:ident) => {
        impl Wire for $t {
            fn datatype() -> ffi::MPI_Datatype {
                // SAFETY: a constant of the library.
                unsafe { ffi::$datatype }
            }
        }
    };
}

wire!(f32, RSMPI_FLOAT);
wire!(f64, RSMPI_DOUBLE);
wire!(u8, RSMPI_UINT8_T);

/// An operation with the buffers that MPI reads and writes until it is complete.
pub(crate) struct Request<'m, T: Wire> {
    mpi: &'m Mpi,
    /// Its number among the operations of the process.
    number: u64,
    send: TensorOf<T>,
    receive: TensorOf<T>,
    raw: ffi::MPI_Request,
    complete: bool,
}

impl<'m, T: Wire> Request<'m, T> {
    /// An operation that the caller starts with [`pointers`](Self::pointers) and [`raw`](Self::raw).
    pub(crate) fn new(mpi: &'m Mpi, number: u64, send: TensorOf<T>, receive: TensorOf<T>) -> Self {
        // SAFETY: a constant of the library.
        let raw = unsafe { ffi::RSMPI_REQUEST_NULL };
        Self { mpi, number, send, receive, raw, complete: false }
    }

    /// The buffer to send, the buffer to receive, and the number of elements to send.
    pub(crate) fn pointers(&mut self) -> (*const c_void, *mut c_void, c_int) {
        let n = c_int::try_from(self.send.numel()).expect("MPI counts elements by an int");
        (on_cpu(&self.send).as_ptr().cast(), self.receive.make_mut().as_mut_ptr().cast(), n)
    }

    pub(crate) fn raw(&mut self) -> *mut ffi::MPI_Request {
        &raw mut self.raw
    }

    /// Whether MPI is done; it works on all operations meanwhile.
    fn test(&mut self) -> bool {
        if !self.complete {
            let mut flag = 0;
            // SAFETY: the request was started, and the buffers are alive.
            unsafe { ffi::MPI_Test(&raw mut self.raw, &raw mut flag, ffi::RSMPI_STATUS_IGNORE) };
            self.complete = flag != 0;
        }
        self.complete
    }

    /// Waits for what was received.
    pub(crate) fn complete(mut self) -> Result<TensorOf<T>, DistributedError> {
        let (begun, mut tests) = (Instant::now(), 0_u64);
        while !self.test() {
            tests += 1;
            // The answer is often on its way. Later, other processes may need this core.
            if tests < TESTS_BEFORE_YIELDING {
                continue;
            }
            thread::yield_now();
            if begun.elapsed() > self.mpi.timeout {
                return Err(roll_call::absent(self.mpi, self.number, begun.elapsed()));
            }
        }
        Ok(self.receive.clone())
    }

    /// The operation as one on a buffer of a device.
    pub(crate) fn returning(self, device: Device, wrap: fn(TensorOf<T>) -> Buffer) -> Box<dyn Pending + 'm> {
        Box::new(Returning { request: self, device, wrap })
    }
}

impl<T: Wire> Drop for Request<'_, T> {
    /// Waits a moment for MPI, which writes to the buffers until it is done. After that they are leaked.
    fn drop(&mut self) {
        let begun = Instant::now();
        while !self.test() {
            if begun.elapsed() > Duration::from_secs(1) {
                std::mem::forget((self.send.clone(), self.receive.clone()));
                return;
            }
        }
    }
}

struct Returning<'m, T: Wire> {
    request: Request<'m, T>,
    device: Device,
    wrap: fn(TensorOf<T>) -> Buffer,
}

impl<T: Wire> Pending for Returning<'_, T> {
    fn progress(&mut self) {
        self.request.test();
    }

    fn wait(self: Box<Self>) -> Result<Buffer, DistributedError> {
        let Self { request, device, wrap } = *self;
        Ok(wrap(request.complete()?).to(device))
    }
}
