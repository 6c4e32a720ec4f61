//! A stand-in CUDA driver that runs chainrule's kernels on the CPU, for tests without a GPU.
//!
//! `libcuda.so` is built from the same `.cu` files that run on a GPU, compiled as C++. The threads of a block are fibers,
//! switched at barriers and warp operations. The stand-in detects missing barriers, reads of uninitialized memory,
//! out-of-bounds accesses, insufficient waits for asynchronous copies and divergent barriers. It cannot detect what depends
//! on hardware: timing, bank conflicts, memory ordering between threads.
//!
//! `libnccl.so.2` stands for NCCL between processes on the stand-in: collective operations over sockets, one after the other,
//! and the errors and endless waits that other processes cause.
//!
//! Its settings are environment variables, read once per process: `STANDIN_ORDER` (0: threads in ascending order, 1:
//! descending, larger: a random order with that seed), `STANDIN_GUARD=1` (each buffer ends at a guard page),
//! `STANDIN_MEMORY` (the device memory in bytes), `STANDIN_FAULT` (a kernel, such as `unary_f32`, whose execution fails; as
//! on a GPU, all later calls then fail too).

use std::path::Path;
use std::sync::OnceLock;

/// The directory of the stand-in's `libcuda.so`, and of the `libnccl.so.2` that works with it, for the `LD_LIBRARY_PATH` of a program; `None` if it was not built.
pub fn directory() -> Option<&'static Path> {
    Path::new(env!("STANDIN_LIBRARY")).parent().filter(|directory| directory.is_dir())
}

/// Makes the stand-in the CUDA driver of this process, even if there is a real one. Call it before a device is opened.
///
/// # Errors
/// The reason why the stand-in was not built, such as a missing C++ compiler.
pub fn install() -> Result<(), String> {
    library().map(|_| ())
}

/// The number of captured graphs and instantiated ones that were not destroyed.
///
/// # Panics
/// If the stand-in was not built.
pub fn live_graphs() -> u32 {
    let library = library().expect("the stand-in was built");
    // SAFETY: the function is the stand-in's own, and takes no arguments.
    unsafe { library.get::<unsafe extern "C" fn() -> u32>(b"standin_graphs\0").expect("the stand-in has it")() }
}

fn library() -> Result<&'static libloading::Library, String> {
    static LIBRARY: OnceLock<Result<libloading::Library, String>> = OnceLock::new();
    let path = env!("STANDIN_LIBRARY");
    let load = || {
        if path.is_empty() {
            return Err(option_env!("STANDIN_WHY").unwrap_or("it was not built").to_owned());
        }
        // SAFETY: the library is our own; its initializers only register kernels.
        unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())
    };
    // Once a library with this soname is loaded, later loads of libcuda.so return it.
    LIBRARY.get_or_init(load).as_ref().map_err(Clone::clone)
}
