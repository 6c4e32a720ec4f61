//! Transfers between host and device.
//!
//! Uploads are staged in page-locked memory and asynchronous; a staging buffer is reused when its copy is done. The driver is
//! never given the caller's own memory to read: when its call returns, it need not have read pageable memory. Downloads
//! synchronize, and also check for faults reported by kernels.

use cudarc::driver::result::{self, DriverError};

use super::context::Gpu;
use super::heap::lock;
use super::staging::{Fault, SMALL, STAGED};

impl Gpu {
    /// Copies bytes to the device, ordered before later launches.
    pub(crate) fn upload(&self, to: u64, from: &[u8]) {
        if from.is_empty() {
            return;
        }
        let _lock = self.enter();
        assert!(
            !self.is_recording(),
            "{self}: a step that is captured cannot upload data\n  rule: move it to the device before the step"
        );
        for (at, piece) in (0..).step_by(STAGED).zip(from.chunks(STAGED)) {
            self.check("copying to the device", self.upload_staged(to + at, piece));
        }
    }

    fn upload_staged(&self, to: u64, from: &[u8]) -> Result<(), DriverError> {
        let mut staging = lock(&self.staging);
        let buffer = staging.buffer(from.len())?;
        // SAFETY: the buffer's copy is done, it is large enough, and it is not used again before its event.
        unsafe {
            std::ptr::copy_nonoverlapping(from.as_ptr(), buffer.memory.as_ptr(), from.len());
            let staged = std::slice::from_raw_parts(buffer.memory.as_ptr(), from.len());
            result::memcpy_htod_async(to, staged, self.stream)?;
            result::event::record(buffer.event, self.stream)?;
        }
        staging.uploads.push_back(buffer);
        Ok(())
    }

    /// Copies bytes from the device after all earlier work.
    ///
    /// # Panics
    /// If a kernel reported an index or label out of range.
    #[track_caller]
    pub(crate) fn download(&self, to: &mut [u8], from: u64) {
        if to.is_empty() {
            return;
        }
        let _lock = self.enter();
        assert!(
            !self.is_recording(),
            "{self}: a step that is captured cannot download data\n  rule: read it after the step"
        );
        let staging = lock(&self.staging);
        let (landing, fault) = (staging.download, self.step_block.fault());
        // SAFETY: the landing buffer belongs to the staging memory, which is locked; nothing reads it before the synchronization.
        let found = unsafe {
            let report = landing.add(SMALL);
            let report_bytes = std::slice::from_raw_parts_mut(report.as_ptr(), size_of::<Fault>());
            self.check("copying from the device", result::memcpy_dtoh_async(report_bytes, fault, self.stream));
            let small = to.len() <= SMALL;
            if small {
                let staged = std::slice::from_raw_parts_mut(landing.as_ptr(), to.len());
                self.check("copying from the device", result::memcpy_dtoh_async(staged, from, self.stream));
            } else {
                self.check("copying from the device", result::memcpy_dtoh_async(to, from, self.stream));
            }
            self.synchronize();
            if small {
                to.copy_from_slice(std::slice::from_raw_parts(landing.as_ptr(), to.len()));
            }
            report.cast::<Fault>().read_unaligned()
        };
        if found.kind != 0 {
            // SAFETY: the block is the device's own.
            let cleared = unsafe { result::memset_d8_async(fault, 0, size_of::<Fault>(), self.stream) };
            drop(staging);
            self.check("clearing a fault", cleared);
            let (what, value) = (if found.kind == 1 { "an index" } else { "a label" }, found.value);
            panic!("{self}: {what}, {value}, is out of range\n  rule: 0 ≤ index < length, 0 ≤ label < classes");
        }
    }
}
