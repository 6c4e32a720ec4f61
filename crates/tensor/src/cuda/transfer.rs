//! Numbers between host and device.
//!
//! Uploads go through page-locked memory and return at once; a piece of it is used again when its copy is done. Downloads
//! wait for the device: they are the only thing that does, and they bring along what kernels had to report.

use std::collections::VecDeque;
use std::ptr::NonNull;

use cudarc::driver::result::DriverError;
use cudarc::driver::{result, sys};

use super::gpu::{Gpu, lock};

/// Page-locked bytes kept for uploads before one waits for the oldest to be done.
const STAGING_BYTES: usize = 256 << 20;
/// The most bytes of an upload that is worth page-locked memory; a whole data set comes once.
const STAGED: usize = 16 << 20;
/// The bytes of a small download, which goes through page-locked memory.
const SMALL: usize = 64 << 10;

/// What a kernel found wrong: `Fault` of `kernels/cuda/prelude.cuh`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Fault {
    kind: u32,
    value: i32,
}

/// Page-locked memory and an event that says when its copy is done.
struct Slot {
    memory: NonNull<u8>,
    bytes: usize,
    event: sys::CUevent,
}

/// The memory through which numbers come and go.
pub(super) struct Transfers {
    /// In the order of their last use.
    uploads: VecDeque<Slot>,
    /// Room for a small download, and behind it for the fault.
    download: NonNull<u8>,
}

// SAFETY: the memory is this structure's own.
unsafe impl Send for Transfers {}

fn pinned(bytes: usize) -> Result<NonNull<u8>, DriverError> {
    // SAFETY: the memory is used only where it was written.
    let memory = unsafe { result::malloc_host(bytes, 0) }?;
    NonNull::new(memory.cast()).ok_or(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY))
}

impl Transfers {
    pub(super) fn new() -> Result<Self, DriverError> {
        Ok(Self { uploads: VecDeque::new(), download: pinned(SMALL + size_of::<Fault>())? })
    }

    /// Page-locked memory of at least `bytes` bytes whose last copy is done.
    fn slot(&mut self, bytes: usize) -> Result<Slot, DriverError> {
        let held: usize = self.uploads.iter().map(|slot| slot.bytes).sum();
        // SAFETY: events live as long as their slots.
        let done = |slot: &Slot| unsafe { result::event::query(slot.event) }.is_ok();
        if let Some(at) = self.uploads.iter().position(|slot| slot.bytes >= bytes && done(slot)) {
            return Ok(self.uploads.remove(at).expect("it is there"));
        }
        if held + bytes > STAGING_BYTES
            && let Some(oldest) = self.uploads.pop_front()
        {
            // SAFETY: as above; the memory is freed when its copy is done and nobody has it.
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
        Ok(Slot { memory: pinned(bytes)?, bytes, event })
    }
}

impl Gpu {
    /// Copies bytes to the device, which will have them before whatever is launched next.
    pub(super) fn upload(&self, to: u64, from: &[u8]) {
        if from.is_empty() {
            return;
        }
        let _turn = self.enter();
        assert!(
            !self.is_recording(),
            "{}: a recorded step cannot take numbers from the host\n  rule: move them to the device before",
            self.device()
        );
        if from.len() > STAGED {
            // SAFETY: the driver has read the bytes when it returns.
            let copied = unsafe { result::memcpy_htod_async(to, from, self.stream) };
            return self.check("copying to the device", copied);
        }
        let mut transfers = lock(&self.transfers);
        let outcome = transfers.slot(from.len()).and_then(|slot| {
            // SAFETY: the slot's copies are done, it is large enough, and it is not used again before its event.
            unsafe {
                std::ptr::copy_nonoverlapping(from.as_ptr(), slot.memory.as_ptr(), from.len());
                let staged = std::slice::from_raw_parts(slot.memory.as_ptr(), from.len());
                result::memcpy_htod_async(to, staged, self.stream)?;
                result::event::record(slot.event, self.stream)?;
            }
            transfers.uploads.push_back(slot);
            Ok(())
        });
        self.check("copying to the device", outcome);
    }

    /// Copies bytes from the device, when all that was launched is done.
    ///
    /// # Panics
    /// If a kernel reported that a number given to it was out of range.
    #[track_caller]
    pub(super) fn download(&self, to: &mut [u8], from: u64) {
        if to.is_empty() {
            return;
        }
        let _turn = self.enter();
        assert!(
            !self.is_recording(),
            "{}: a recorded step cannot look at its numbers\n  rule: read them after the replay",
            self.device()
        );
        let transfers = lock(&self.transfers);
        let (room, fault) = (transfers.download, self.board.fault());
        // SAFETY: the room is the transfers' own, which are locked; nothing reads it before the device is waited for.
        let found = unsafe {
            let report = room.add(SMALL);
            let report_bytes = std::slice::from_raw_parts_mut(report.as_ptr(), size_of::<Fault>());
            self.check("copying from the device", result::memcpy_dtoh_async(report_bytes, fault, self.stream));
            let small = to.len() <= SMALL;
            if small {
                let staged = std::slice::from_raw_parts_mut(room.as_ptr(), to.len());
                self.check("copying from the device", result::memcpy_dtoh_async(staged, from, self.stream));
            } else {
                self.check("copying from the device", result::memcpy_dtoh_async(to, from, self.stream));
            }
            self.synchronize();
            if small {
                to.copy_from_slice(std::slice::from_raw_parts(room.as_ptr(), to.len()));
            }
            report.cast::<Fault>().read_unaligned()
        };
        if found.kind != 0 {
            // SAFETY: the board is the device's own.
            let cleared = unsafe { result::memset_d8_async(fault, 0, size_of::<Fault>(), self.stream) };
            drop(transfers);
            self.check("clearing a fault", cleared);
            let (what, value) = (if found.kind == 1 { "an index" } else { "a label" }, found.value);
            panic!(
                "{}: {what}, {value}, is out of range\n  rule: 0 ≤ index < length, 0 ≤ label < classes",
                self.device()
            );
        }
    }
}
