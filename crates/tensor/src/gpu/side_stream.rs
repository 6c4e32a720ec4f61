//! A second stream of a device, on which another library queues its own work.

use std::ffi::c_void;

use cudarc::driver::result::DriverError;
use cudarc::driver::{result, sys};

use super::context::{self, Gpu};
use super::driver::describe;
use crate::error::TensorError;

/// A stream beside that of the device's own work, for a library such as NCCL.
///
/// The memory pool knows only the device's own stream: keep the tensors that the library reads or writes until a [`Mark`]
/// after its work is reached.
pub struct SideStream {
    pub(crate) gpu: &'static Gpu,
    stream: sys::CUstream,
    /// Recorded on the device's own stream.
    before: sys::CUevent,
}

impl SideStream {
    /// A stream of the device with this index.
    ///
    /// # Errors
    /// If the device cannot be used.
    pub fn new(ordinal: usize) -> Result<Self, TensorError> {
        let gpu = context::open(ordinal)?;
        let _lock = gpu.enter();
        let made = || -> Result<Self, DriverError> {
            let stream = result::stream::create(result::stream::StreamKind::NonBlocking)?;
            Ok(Self { gpu, stream, before: event()? })
        };
        made().map_err(|error| TensorError::DeviceUnavailable { device: gpu.to_string(), why: describe(error) })
    }

    /// Calls the library with the stream as a `CUstream` and the device's context as the current one. What the call queues
    /// runs after all earlier work of the device.
    ///
    /// # Panics
    /// If a step is being captured.
    pub fn queue<R>(&self, call: impl FnOnce(*mut c_void) -> R) -> R {
        let _lock = self.gpu.enter();
        assert!(
            !self.gpu.is_recording(),
            "{}: a step that is captured cannot queue work of another library\n  rule: do not replay such steps",
            self.gpu
        );
        self.gpu.check("ordering streams", order(self.before, self.gpu.stream, self.stream));
        call(self.stream.cast())
    }

    /// A mark after all that has been queued so far.
    pub fn mark(&self) -> Mark {
        let _lock = self.gpu.enter();
        // SAFETY: the event was just made, and the stream lives as long as this.
        let recorded = event().and_then(|event| unsafe { result::event::record(event, self.stream) }.map(|()| event));
        Mark { gpu: self.gpu, event: self.gpu.check("recording an event", recorded) }
    }
}

impl Drop for SideStream {
    fn drop(&mut self) {
        let _lock = self.gpu.enter();
        // SAFETY: neither is used any more; the driver completes pending work without making the host wait.
        let dropped = unsafe { result::event::destroy(self.before).and(result::stream::destroy(self.stream)) };
        self.gpu.check_in_drop("destroying a stream", dropped);
    }
}

/// A point of a [`SideStream`].
pub struct Mark {
    gpu: &'static Gpu,
    event: sys::CUevent,
}

impl Mark {
    /// Whether the work before it is done.
    ///
    /// # Errors
    /// If work of the device has failed.
    pub fn is_reached(&self) -> Result<bool, String> {
        let _lock = self.gpu.enter();
        // SAFETY: the event lives as long as this.
        match unsafe { result::event::query(self.event) } {
            Ok(()) => Ok(true),
            Err(DriverError(sys::CUresult::CUDA_ERROR_NOT_READY)) => Ok(false),
            Err(error) => Err(format!("{}: {}", self.gpu, describe(error))),
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let _lock = self.gpu.enter();
        // SAFETY: it is not used any more; the driver frees it when it is reached.
        self.gpu.check_in_drop("destroying an event", unsafe { result::event::destroy(self.event) });
    }
}

fn event() -> Result<sys::CUevent, DriverError> {
    result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)
}

/// Makes later work of a stream wait for the earlier work of another.
fn order(event: sys::CUevent, earlier: sys::CUstream, later: sys::CUstream) -> Result<(), DriverError> {
    // SAFETY: the streams and the event are alive. Recording the event anew does not change earlier waits for it.
    unsafe {
        result::event::record(event, earlier)?;
        result::stream::wait_event(later, event, sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT)
    }
}
