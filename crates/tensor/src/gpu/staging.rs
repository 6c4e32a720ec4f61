//! Page-locked staging buffers for transfers between host and device.

use std::collections::VecDeque;
use std::ptr::NonNull;

use cudarc::driver::result::DriverError;
use cudarc::driver::{result, sys};

/// The maximum bytes of staging buffers; beyond it an upload waits for the oldest one.
const STAGING_BYTES: usize = 256 << 20;
/// The maximum bytes of a staging buffer; longer uploads go in pieces.
pub(super) const STAGED: usize = 16 << 20;
/// The maximum bytes of a download that is staged.
pub(super) const SMALL: usize = 64 << 10;

/// A fault reported by a kernel: `Fault` of `kernels/cuda/prelude.cuh`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Fault {
    pub(super) kind: u32,
    pub(super) value: i32,
}

/// A staging buffer, and an event that is recorded after its copy.
pub(super) struct StagingBuffer {
    pub(super) memory: NonNull<u8>,
    bytes: usize,
    pub(super) event: sys::CUevent,
}

/// The staging buffers of a device.
pub(super) struct Staging {
    /// In the order of their last use.
    pub(super) uploads: VecDeque<StagingBuffer>,
    /// The buffer for a small download, followed by the fault.
    pub(super) download: NonNull<u8>,
}

// SAFETY: the memory is this structure's own.
unsafe impl Send for Staging {}

fn pinned(bytes: usize) -> Result<NonNull<u8>, DriverError> {
    // SAFETY: the memory is used only where it was written.
    let memory = unsafe { result::malloc_host(bytes, 0) }?;
    NonNull::new(memory.cast()).ok_or(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY))
}

impl Staging {
    pub(super) fn new() -> Result<Self, DriverError> {
        Ok(Self { uploads: VecDeque::new(), download: pinned(SMALL + size_of::<Fault>())? })
    }

    /// A staging buffer of at least `bytes` bytes whose last copy is done.
    pub(super) fn buffer(&mut self, bytes: usize) -> Result<StagingBuffer, DriverError> {
        let held: usize = self.uploads.iter().map(|buffer| buffer.bytes).sum();
        // SAFETY: events live as long as their buffers.
        let done = |buffer: &StagingBuffer| unsafe { result::event::query(buffer.event) }.is_ok();
        if let Some(at) = self.uploads.iter().position(|buffer| buffer.bytes >= bytes && done(buffer)) {
            return Ok(self.uploads.remove(at).expect("it is there"));
        }
        if held + bytes > STAGING_BYTES
            && let Some(oldest) = self.uploads.pop_front()
        {
            // SAFETY: as above; the memory is freed after its copy is done, when it is not used any more.
            unsafe {
                result::event::synchronize(oldest.event)?;
                if oldest.bytes >= bytes {
                    return Ok(oldest);
                }
                result::free_host(oldest.memory.as_ptr().cast())?;
                result::event::destroy(oldest.event)?;
            }
        }
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)?;
        let bytes = bytes.next_power_of_two();
        Ok(StagingBuffer { memory: pinned(bytes)?, bytes, event })
    }
}
