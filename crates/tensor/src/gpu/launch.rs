//! Kernel launches.

use std::ffi::c_void;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chainrule_kernels::Family;
use cudarc::driver::result;

use super::context::Gpu;
use super::driver::describe;
use super::functions::load;

/// The maximum number of blocks of a grid-stride kernel: a few per multiprocessor of a large GPU.
const MAX_BLOCKS: u32 = 4096;
/// The default number of threads per block: THREADS of `kernels/cuda/prelude.cuh`.
pub(crate) const THREADS: u32 = 256;

/// A kernel argument, passed by value as its bytes.
///
/// # Safety
/// The type must have the size and layout of the kernel's parameter.
pub(crate) unsafe trait Argument {}

// SAFETY: float, double, int, unsigned, unsigned long long and a device's address.
unsafe impl Argument for f32 {}
// SAFETY: as above.
unsafe impl Argument for f64 {}
// SAFETY: as above.
unsafe impl Argument for i32 {}
// SAFETY: as above.
unsafe impl Argument for u32 {}
// SAFETY: as above.
unsafe impl Argument for u64 {}
// SAFETY: long long.
unsafe impl Argument for i64 {}
// SAFETY: an unsigned char.
unsafe impl Argument for u8 {}

/// The numbers of blocks and of threads per block, and the bytes of a block's dynamic shared memory, which are the same for
/// all launches of a kernel.
#[derive(Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) blocks: [u32; 3],
    pub(crate) threads: u32,
    pub(crate) shared: u32,
}

impl Grid {
    /// For a grid-stride kernel over `n` elements.
    pub(crate) fn elements(n: usize) -> Self {
        Self::blocks(n.div_ceil(THREADS as usize).min(MAX_BLOCKS as usize))
    }

    /// `n` blocks of the default number of threads.
    pub(crate) fn blocks(n: usize) -> Self {
        Self { blocks: [n as u32, 1, 1], threads: THREADS, shared: 0 }
    }
}

/// A number of elements as a kernel argument.
///
/// # Panics
/// If there are 2³¹ or more.
pub(crate) fn checked(numel: usize) -> u32 {
    assert!(
        i32::try_from(numel).is_ok(),
        "{numel} elements are too many for a GPU kernel, which takes at most 2³¹ − 1; use smaller batches"
    );
    numel as u32
}

impl Gpu {
    /// Launches kernel `name_kind` of a family with arguments in the order of its parameters.
    ///
    /// # Safety
    /// The arguments are the kernel's parameters, addresses lead to as many elements as it reads and writes, and what it
    /// writes is exclusive.
    pub(crate) unsafe fn launch<const N: usize>(
        &self,
        family: Family,
        (name, kind): (&'static str, &'static str),
        grid: Grid,
        arguments: [&dyn Argument; N],
    ) {
        if grid.blocks.contains(&0) {
            return;
        }
        let _lock = self.enter();
        let function = self.functions.get(family, (name, kind), grid.shared);
        let function = function.unwrap_or_else(|(what, error)| self.check(&what, Err(error)));
        let mut pointers = arguments.map(|argument| std::ptr::from_ref(argument).cast::<c_void>().cast_mut());
        let [x, y, z] = grid.blocks;
        self.counters.launches.fetch_add(1, Ordering::Relaxed);
        // SAFETY: promised by the caller; the driver copies the arguments before it returns.
        let started = unsafe {
            result::launch_kernel(function, (x, y, z), (grid.threads, 1, 1), grid.shared, self.stream, &mut pointers)
        };
        if let Err(error) = started {
            panic!("{self}: launching kernel {name}_{kind} failed: {}", describe(error));
        }
    }

    /// Loads a family of kernels, to check whether the driver accepts it. Returns the time that it took.
    pub(crate) fn try_load(&self, family: Family) -> Result<Duration, String> {
        let _lock = self.enter();
        let start = Instant::now();
        let module = load(family).map_err(describe)?;
        let took = start.elapsed();
        // SAFETY: it was just loaded, and no function of it is in use.
        unsafe { result::module::unload(module) }.map_err(describe)?;
        Ok(took)
    }
}
