//! The device's notice board: what kernels and host tell each other in a fixed place of its memory,
//! and the constants that kernels read there.

use cudarc::driver::result::DriverError;
use cudarc::driver::{result, sys};

use chainrule_kernels::Family;

use super::bf16::{BF16, Stored};
use super::gpu::Gpu;
use super::launch::Grid;

/// What changes from one replay of a recorded step to the next: `Dials` of `kernels/cuda/prelude.cuh`.
///
/// A step that is not recorded finds 0 and 1 there.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Dials {
    /// Steps since the one that was recorded: added to the optimizers' and the random numbers' step.
    pub(super) steps: u64,
    /// The learning rate as a multiple of the recorded one.
    pub(super) rate: f64,
}

/// A `Fault` and `Dials` of `kernels/cuda/prelude.cuh`, then constants.
pub(super) struct Board(sys::CUdeviceptr);

/// The bytes in front of the dials: a fault.
const DIALS: u64 = 8;
/// What is in front of the ones, which begin at a multiple of 16.
const ONES: u64 = 32;
const BYTES: usize = 64;

impl Board {
    pub(super) fn new(stream: sys::CUstream) -> Result<Self, DriverError> {
        let mut start = [0; BYTES];
        start[DIALS as usize + 8..][..8].copy_from_slice(&1f64.to_ne_bytes());
        start[ONES as usize..][..4].copy_from_slice(&1f32.to_ne_bytes());
        // The upper half of the same.
        start[ONES as usize + 16..][..2].copy_from_slice(&((1f32.to_bits() >> 16) as u16).to_ne_bytes());
        // SAFETY: the address is the board's own, kept until the process ends, and is written as a whole.
        unsafe {
            let address = result::malloc_sync(BYTES)?;
            result::memcpy_htod_async(address, &start, stream)?;
            result::stream::synchronize(stream)?;
            Ok(Self(address))
        }
    }

    /// Where kernels report faults.
    pub(super) fn fault(&self) -> u64 {
        self.0
    }

    /// Where kernels read the dials.
    pub(super) fn dials(&self) -> u64 {
        self.0 + DIALS
    }

    /// 16 bytes of a one and zeros, stored so.
    pub(super) fn ones(&self, stored: Stored) -> u64 {
        self.0 + ONES + if stored == BF16 { 16 } else { 0 }
    }
}

impl Gpu {
    /// Sets the dials for what is launched from now on.
    pub(super) fn set_dials(&self, dials: Dials) {
        let Dials { steps, rate } = dials;
        // SAFETY: the board's dials are where the kernel writes.
        unsafe {
            let arguments: [&dyn super::launch::Argument; 3] = [&self.board.dials(), &steps, &rate];
            self.launch(Family::Optimizer, ("set", "dials"), Grid { blocks: [1; 3], threads: 32 }, arguments);
        }
    }
}
