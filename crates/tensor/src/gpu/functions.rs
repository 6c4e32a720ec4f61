//! The loaded kernels of a device.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Mutex;

use chainrule_kernels::Family;
use cudarc::driver::result::DriverError;
use cudarc::driver::{result, sys};

use super::heap::lock;

/// The dynamic shared memory that every kernel may have.
const DEFAULT_SHARED: u32 = 48 << 10;

/// The loaded kernels.
#[derive(Default)]
pub(super) struct Functions(Mutex<Loaded>);

#[derive(Default)]
struct Loaded {
    modules: HashMap<Family, sys::CUmodule>,
    functions: HashMap<(Family, &'static str, &'static str), sys::CUfunction>,
}

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Functions {}

impl Functions {
    /// Kernel `name_kind` of a family, which uses this much dynamic shared memory, loaded at the first call; or the failed
    /// operation and its error.
    pub(super) fn get(
        &self,
        family: Family,
        (name, kind): (&'static str, &'static str),
        shared: u32,
    ) -> Result<sys::CUfunction, (String, DriverError)> {
        let mut loaded = lock(&self.0);
        if let Some(&function) = loaded.functions.get(&(family, name, kind)) {
            return Ok(function);
        }
        let module = match loaded.modules.get(&family) {
            Some(&module) => module,
            None => load(family).map_err(|error| (format!("loading the kernels '{}'", family.name()), error))?,
        };
        loaded.modules.insert(family, module);
        let symbol = CString::new(format!("{name}_{kind}")).expect("kernel names contain no NUL");
        // SAFETY: the module is loaded and never unloaded.
        let function = unsafe { result::module::get_function(module, symbol) };
        let function = function.map_err(|error| (format!("finding kernel {name}_{kind}"), error))?;
        if shared > DEFAULT_SHARED {
            reserve(function, shared).map_err(|error| (format!("reserving shared memory for {name}_{kind}"), error))?;
        }
        loaded.functions.insert((family, name, kind), function);
        Ok(function)
    }
}

/// Permits a kernel more than the default shared memory.
fn reserve(function: sys::CUfunction, shared: u32) -> Result<(), DriverError> {
    use sys::CUfunction_attribute as Attribute;
    // As much of the memory that is divided between shared memory and L1 as possible, so that several blocks fit.
    let carveout = (Attribute::CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 100);
    for (attribute, value) in [(Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared as i32), carveout] {
        // SAFETY: the function is the driver's own.
        unsafe { result::function::set_function_attribute(function, attribute, value) }?;
    }
    Ok(())
}

/// Loads a family of kernels into the context of this thread.
pub(super) fn load(family: Family) -> Result<sys::CUmodule, DriverError> {
    // SAFETY: the image is null-terminated PTX.
    unsafe { result::module::load_data(family.ptx().as_ptr().cast()) }
}
