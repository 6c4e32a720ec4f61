//! The functions of NCCL, found in its library at run time.
//!
//! Not by cudarc, which looks for `libnccl.so` only: that is the name for linkers, and packages without development files
//! have `libnccl.so.2` alone. It also reads results as an enum, which a newer library can leave.

use std::error::Error;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use crate::error::DistributedError;

type Result<T, E = DistributedError> = std::result::Result<T, E>;

/// The variable that names the library's file.
const VARIABLE: &str = "CHAINRULE_NCCL";
/// The first version in which a communicator need not block, and its configuration has the fields of [`Config`].
const MINIMUM: c_int = 21801;

/// `ncclResult_t`.
pub(super) type Status = c_int;
pub(super) const SUCCESS: Status = 0;
pub(super) const REMOTE_ERROR: Status = 6;
pub(super) const IN_PROGRESS: Status = 7;

/// `ncclDataType_t`.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataType {
    U8 = 1,
    F32 = 7,
    F64 = 8,
}

/// `ncclSum` of `ncclRedOp_t`.
pub(super) const SUM: c_int = 0;

/// `ncclUniqueId`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct UniqueId(pub(super) [u8; 128]);

/// `ncclConfig_t` as of 2.18; later versions read as much of it as `size` says.
#[repr(C)]
struct Config {
    size: usize,
    magic: c_uint,
    version: c_uint,
    blocking: c_int,
    cga_cluster_size: c_int,
    min_ctas: c_int,
    max_ctas: c_int,
    net_name: *const c_char,
    split_share: c_int,
}

/// `ncclComm_t`, which may be used from any thread.
#[derive(Clone, Copy)]
pub(super) struct Comm(*mut c_void);

// SAFETY: NCCL does not tie communicators to threads.
unsafe impl Send for Comm {}

impl Comm {
    /// Whether NCCL made none.
    pub(super) fn is_null(self) -> bool {
        self.0.is_null()
    }
}

/// Where an operation reads and writes, and the stream that runs it.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) send: u64,
    pub(super) receive: u64,
    /// The number of elements that each process sends.
    pub(super) count: usize,
    pub(super) data_type: DataType,
    pub(super) stream: *mut c_void,
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    AllReduce,
    AllGather,
}

macro_rules! library {
    ($($name:ident = $symbol:literal: fn($($argument:ty),*) -> $result:ty;)*) => {
        /// The loaded library.
        pub(super) struct Library {
            $($name: unsafe extern "C" fn($($argument),*) -> $result,)*
            version: c_int,
        }

        impl Library {
            /// The functions of an opened library.
            fn functions(library: &'static libloading::Library) -> Result<Self, String> {
                $(
                    // SAFETY: the type is that of the function in nccl.h.
                    let $name = *unsafe { library.get($symbol) }.map_err(|error| cause(&error))?;
                )*
                Ok(Self { $($name,)* version: 0 })
            }
        }
    };
}

library! {
    get_version = b"ncclGetVersion\0": fn(*mut c_int) -> Status;
    get_unique_id = b"ncclGetUniqueId\0": fn(*mut UniqueId) -> Status;
    init = b"ncclCommInitRankConfig\0": fn(*mut *mut c_void, c_int, UniqueId, c_int, *mut Config) -> Status;
    async_error = b"ncclCommGetAsyncError\0": fn(*mut c_void, *mut Status) -> Status;
    finalize = b"ncclCommFinalize\0": fn(*mut c_void) -> Status;
    destroy = b"ncclCommDestroy\0": fn(*mut c_void) -> Status;
    abort = b"ncclCommAbort\0": fn(*mut c_void) -> Status;
    all_reduce = b"ncclAllReduce\0":
        fn(*const c_void, *mut c_void, usize, c_int, c_int, *mut c_void, *mut c_void) -> Status;
    all_gather = b"ncclAllGather\0": fn(*const c_void, *mut c_void, usize, c_int, *mut c_void, *mut c_void) -> Status;
    error_string = b"ncclGetErrorString\0": fn(Status) -> *const c_char;
    last_error = b"ncclGetLastError\0": fn(*mut c_void) -> *const c_char;
}

impl Library {
    /// The library, loaded at the first call.
    pub(super) fn get() -> Result<&'static Self> {
        static LIBRARY: OnceLock<Result<Library>> = OnceLock::new();
        let load = || match std::env::var(VARIABLE) {
            Ok(path) => Self::load(&[&path]),
            Err(_) => Self::load(&["libnccl.so.2", "libnccl.so"]),
        };
        LIBRARY.get_or_init(load).as_ref().map_err(Clone::clone)
    }

    /// The first of these files that is there.
    fn load(files: &[&str]) -> Result<Self> {
        let mut why = Vec::new();
        for file in files {
            // SAFETY: the library's initializers are trusted as those of any program's library.
            match unsafe { libloading::Library::new(*file) } {
                Ok(library) => return Self::checked(file, Box::leak(Box::new(library))),
                Err(error) => why.push(format!("\n  {}", cause(&error))),
            }
        }
        Err(DistributedError::Unavailable(format!(
            "NCCL was not found: no {}{}\n  rule: install NVIDIA's package libnccl2, or PyPI's nvidia-nccl-cu12 and add its \
             directory nvidia/nccl/lib to LD_LIBRARY_PATH; or name the file in {VARIABLE}",
            files.join(" or "),
            why.concat()
        )))
    }

    fn checked(file: &str, library: &'static libloading::Library) -> Result<Self> {
        let unusable = |why: String| {
            DistributedError::Unavailable(format!("{file} cannot be used as NCCL: {why}\n  rule: NCCL 2.18.1 or newer"))
        };
        let mut functions = Self::functions(library).map_err(unusable)?;
        // SAFETY: the pointer is valid for the call.
        let status = unsafe { (functions.get_version)(&raw mut functions.version) };
        if status != SUCCESS {
            return Err(unusable(functions.text(status)));
        }
        if functions.version < MINIMUM {
            return Err(unusable(format!("its version is {}", functions.version())));
        }
        Ok(functions)
    }

    /// The version, such as `2.21.5`.
    pub(super) fn version(&self) -> String {
        let v = self.version;
        format!("{}.{}.{}", v / 10000, v / 100 % 100, v % 100)
    }

    /// A new id, which all processes of one communicator share. The process of rank 0 makes it.
    pub(super) fn unique_id(&self) -> Result<UniqueId, String> {
        let mut id = UniqueId([0; 128]);
        // SAFETY: the pointer is valid for the call.
        match unsafe { (self.get_unique_id)(&raw mut id) } {
            SUCCESS => Ok(id),
            status => Err(self.text(status)),
        }
    }

    /// Starts to connect the processes. The current device of this thread is that of the communicator.
    pub(super) fn start(&self, rank: usize, size: usize, id: UniqueId) -> (Comm, Status) {
        const UNDEFINED: c_int = c_int::MIN;
        let mut config = Config {
            size: size_of::<Config>(),
            magic: 0xcafe_beef,
            version: MINIMUM as c_uint,
            blocking: 0,
            cga_cluster_size: UNDEFINED,
            min_ctas: UNDEFINED,
            max_ctas: UNDEFINED,
            net_name: std::ptr::null(),
            split_share: UNDEFINED,
        };
        let mut comm = std::ptr::null_mut();
        // SAFETY: the pointers are valid for the call.
        let status = unsafe { (self.init)(&raw mut comm, size as c_int, id, rank as c_int, &raw mut config) };
        (Comm(comm), status)
    }

    /// The state of a communicator: an error, work in progress, or neither.
    pub(super) fn state(&self, comm: Comm) -> Status {
        let mut state = SUCCESS;
        // SAFETY: the communicator is alive, and the pointer is valid for the call.
        match unsafe { (self.async_error)(comm.0, &raw mut state) } {
            SUCCESS => state,
            status => status,
        }
    }

    /// Queues an operation.
    ///
    /// # Safety
    /// The addresses are those of device memory for as many elements as the operation reads and writes, until the stream has
    /// run it.
    pub(super) unsafe fn queue(&self, comm: Comm, kind: Kind, call: Call) -> Status {
        let Call { count, stream, .. } = call;
        let (send, receive) = (call.send as *const c_void, call.receive as *mut c_void);
        let data_type = call.data_type as c_int;
        // SAFETY: as the caller says.
        unsafe {
            match kind {
                Kind::AllReduce => (self.all_reduce)(send, receive, count, data_type, SUM, comm.0, stream),
                Kind::AllGather => (self.all_gather)(send, receive, count, data_type, comm.0, stream),
            }
        }
    }

    /// Starts to end a communicator in good order.
    pub(super) fn finalize(&self, comm: Comm) -> Status {
        // SAFETY: the communicator is alive.
        unsafe { (self.finalize)(comm.0) }
    }

    /// Frees a communicator that is finalized.
    pub(super) fn destroy(&self, comm: Comm) {
        // SAFETY: the communicator is alive, and not used again.
        unsafe { (self.destroy)(comm.0) };
    }

    /// Ends a communicator and what it is doing.
    pub(super) fn abort(&self, comm: Comm) {
        // SAFETY: the communicator is alive, and not used again.
        unsafe { (self.abort)(comm.0) };
    }

    /// The text of an error.
    pub(super) fn text(&self, status: Status) -> String {
        // SAFETY: the function returns a constant text for any number.
        let text = unsafe { CStr::from_ptr((self.error_string)(status)) };
        format!("NCCL: {} (error {status})", text.to_string_lossy())
    }

    /// The text of an error of a communicator, with what NCCL says of its cause.
    pub(super) fn text_of(&self, comm: Comm, status: Status) -> String {
        // SAFETY: the communicator is alive or null, and the text is copied before the next call.
        let cause = unsafe { CStr::from_ptr((self.last_error)(comm.0)) }.to_string_lossy().trim().to_owned();
        let text = self.text(status);
        if cause.is_empty() { text } else { format!("{text}: {cause}") }
    }
}

/// What the system's loader says, which libloading keeps as the source of its error.
fn cause(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_library_that_is_not_there_is_named_with_the_remedy() {
        let Err(DistributedError::Unavailable(text)) = Library::load(&["/nowhere/libnccl.so.2", "/nowhere/nccl"])
        else {
            panic!("there is no such file");
        };
        for part in ["no /nowhere/libnccl.so.2 or /nowhere/nccl", "No such file", "libnccl2", "nvidia-nccl-cu12"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn another_library_is_refused() {
        let Err(DistributedError::Unavailable(text)) = Library::load(&["libc.so.6"]) else {
            panic!("it is not NCCL");
        };
        assert!(text.starts_with("libc.so.6 cannot be used as NCCL: ") && text.contains("ncclGetVersion"), "{text}");
    }
}
