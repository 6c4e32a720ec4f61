//! A fixed block of a device's memory: the faults that kernels report to the host, the step parameters that the host sets
//! for kernels, and the constants that kernels read.

use cudarc::driver::result::DriverError;
use cudarc::driver::{result, sys};

/// What changes between replays of a captured step: `StepParameters` of `kernels/cuda/prelude.cuh`.
///
/// In an eager step they are 0 and 1.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StepParameters {
    /// Steps since the captured one, added to the step of the optimizers and of the random numbers.
    pub(super) steps: u64,
    /// The learning rate as a multiple of the captured one.
    pub(super) rate: f64,
}

impl StepParameters {
    /// Those of the captured step itself, and of eager steps.
    pub(super) const OF_THE_CAPTURE: Self = Self { steps: 0, rate: 1.0 };
}

/// A `Fault` and `StepParameters` of `kernels/cuda/prelude.cuh`, then constants.
pub(crate) struct StepBlock(sys::CUdeviceptr);

/// The offset of the step parameters, after a fault.
const PARAMETERS: u64 = 8;
/// The offset of the ones, a multiple of 16.
const ONES: u64 = 32;
const BYTES: usize = 64;

impl StepBlock {
    pub(super) fn new(stream: sys::CUstream) -> Result<Self, DriverError> {
        let mut start = [0; BYTES];
        start[PARAMETERS as usize + 8..][..8].copy_from_slice(&1f64.to_ne_bytes());
        start[ONES as usize..][..4].copy_from_slice(&1f32.to_ne_bytes());
        // bf16 1.0 is the upper half of f32 1.0.
        start[ONES as usize + 16..][..2].copy_from_slice(&((1f32.to_bits() >> 16) as u16).to_ne_bytes());
        // SAFETY: the address is the block's own, kept until the process ends, and is written as a whole.
        unsafe {
            let address = result::malloc_sync(BYTES)?;
            result::memcpy_htod_async(address, &start, stream)?;
            result::stream::synchronize(stream)?;
            Ok(Self(address))
        }
    }

    /// The address at which kernels report faults.
    pub(crate) fn fault(&self) -> u64 {
        self.0
    }

    /// The address at which kernels read the step parameters.
    pub(crate) fn parameters(&self) -> u64 {
        self.0 + PARAMETERS
    }

    /// 16 bytes of a one and zeros, as `f32` or as bf16.
    pub(crate) fn ones(&self, bf16: bool) -> u64 {
        self.0 + ONES + if bf16 { 16 } else { 0 }
    }
}
