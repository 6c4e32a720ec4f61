//! A CUDA driver that runs chainrule's kernels on the processor, for tests on machines without a GPU.
//!
//! `libcuda.so` is made from the very `.cu` files that a GPU runs, compiled as C++: the threads of a block are fibers,
//! switched at barriers and at the operations of a warp. It finds missing barriers, reads of memory that nothing wrote,
//! accesses beyond a buffer, waits that are too lax and barriers that only some threads reach. It does not find what
//! only hardware does: timing, bank conflicts, memory order between threads.
//!
//! Its settings are environment variables, read once in a process: `STANDIN_ORDER` (0: threads in ascending order, 1:
//! descending, more: a random order from that seed), `STANDIN_GUARD=1` (each buffer ends at a page that faults),
//! `STANDIN_MEMORY` (the device's bytes).

use std::path::Path;
use std::sync::OnceLock;

/// The directory of the stand-in's `libcuda.so`, for the `LD_LIBRARY_PATH` of a program that is to find it; `None` if it
/// was not built.
pub fn directory() -> Option<&'static Path> {
    Path::new(env!("STANDIN_LIBRARY")).parent().filter(|directory| directory.is_dir())
}

/// Makes the stand-in this process's CUDA driver, whatever other one there is. Call it before anything asks for a device.
///
/// # Errors
/// The reason why there is none, such as a missing C++ compiler.
pub fn install() -> Result<(), String> {
    static LIBRARY: OnceLock<Result<libloading::Library, String>> = OnceLock::new();
    let path = env!("STANDIN_LIBRARY");
    let load = || {
        if path.is_empty() {
            return Err(option_env!("STANDIN_WHY").unwrap_or("it was not built").to_owned());
        }
        // SAFETY: the library is our own; its initializers only fill the table of kernels.
        unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())
    };
    // Once a library of that name is loaded, it answers whoever opens libcuda.so next.
    LIBRARY.get_or_init(load).as_ref().map(|_| ()).map_err(Clone::clone)
}
