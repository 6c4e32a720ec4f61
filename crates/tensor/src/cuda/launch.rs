//! Starting kernels.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use chainrule_kernels::Family;
use cudarc::driver::{result, sys};

use super::gpu::{Gpu, lock};

/// The most blocks of a kernel that walks over its elements by itself: a few for each multiprocessor of a large GPU.
const MOST_BLOCKS: u32 = 4096;
/// Threads of a block, unless a kernel says otherwise: THREADS of `kernels/cuda/prelude.cuh`.
pub(super) const THREADS: u32 = 256;

/// An argument of a kernel, passed by value as its bytes lie in memory.
///
/// # Safety
/// The type has the size and the layout of the kernel's parameter.
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

/// How many blocks, of how many threads.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) blocks: [u32; 3],
    pub(super) threads: u32,
}

impl Grid {
    /// For a kernel that walks over `n` elements, whatever its number of threads.
    pub(super) fn elements(n: usize) -> Self {
        Self::blocks(n.div_ceil(THREADS as usize).min(MOST_BLOCKS as usize))
    }

    /// `n` blocks of the usual number of threads.
    pub(super) fn blocks(n: usize) -> Self {
        Self { blocks: [n as u32, 1, 1], threads: THREADS }
    }
}

/// The kernels that are loaded.
#[derive(Default)]
pub(super) struct Functions(Mutex<Loaded>);

#[derive(Default)]
struct Loaded {
    modules: HashMap<Family, sys::CUmodule>,
    functions: HashMap<(Family, &'static str, &'static str), sys::CUfunction>,
}

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Functions {}

impl Gpu {
    /// Starts kernel `name_kind` of a family with these arguments, in the order of its parameters.
    ///
    /// # Safety
    /// The arguments are the kernel's parameters, addresses lead to as many elements as it reads and writes, and what it
    /// writes nobody else holds.
    pub(super) unsafe fn launch<const N: usize>(
        &self,
        family: Family,
        (name, kind): (&'static str, &'static str),
        grid: Grid,
        arguments: [&dyn Argument; N],
    ) {
        if grid.blocks.contains(&0) {
            return;
        }
        let _turn = self.enter();
        let function = self.function(family, name, kind);
        let mut pointers = arguments.map(|argument| std::ptr::from_ref(argument).cast::<c_void>().cast_mut());
        let [x, y, z] = grid.blocks;
        self.counters.launches.fetch_add(1, Ordering::Relaxed);
        // SAFETY: promised by the caller; the driver copies the arguments before it returns.
        let started =
            unsafe { result::launch_kernel(function, (x, y, z), (grid.threads, 1, 1), 0, self.stream, &mut pointers) };
        if let Err(error) = started {
            panic!("{}: kernel {name}_{kind} did not start: {}", self.device(), super::driver::describe(error));
        }
    }

    fn function(&self, family: Family, name: &'static str, kind: &'static str) -> sys::CUfunction {
        let mut loaded = lock(&self.functions.0);
        if let Some(&function) = loaded.functions.get(&(family, name, kind)) {
            return function;
        }
        let module = *loaded.modules.entry(family).or_insert_with(|| self.load(family));
        let symbol = CString::new(format!("{name}_{kind}")).expect("names have no zeros");
        // SAFETY: the module is loaded and never unloaded.
        let found = unsafe { result::module::get_function(module, symbol) };
        let function = self.check(&format!("finding kernel {name}_{kind}"), found);
        loaded.functions.insert((family, name, kind), function);
        function
    }

    fn load(&self, family: Family) -> sys::CUmodule {
        // SAFETY: the image is PTX, ended by a zero.
        let module = unsafe { result::module::load_data(family.ptx().as_ptr().cast()) };
        self.check(&format!("loading the kernels '{}'", family.name()), module)
    }

    /// Loads a family of kernels, to see whether the driver takes it.
    pub(super) fn try_load(&self, family: Family) -> Result<(), String> {
        let _turn = self.enter();
        // SAFETY: as in `load`.
        let module = unsafe { result::module::load_data(family.ptx().as_ptr().cast()) };
        let module = module.map_err(super::driver::describe)?;
        // SAFETY: it was just loaded and nobody has a function of it.
        unsafe { result::module::unload(module) }.map_err(super::driver::describe)
    }
}
