//! The CUDA driver: detection, its devices, and what to do if it is missing.

use std::ffi::c_int;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use cudarc::driver::result::DriverError;
use cudarc::driver::{result, sys};

/// The minimum CUDA version of the driver, 1000·major + 10·minor.
const MINIMUM_CUDA: i32 = 12020;
/// The minimum compute capability.
const MINIMUM_CAPABILITY: (i32, i32) = (7, 0);

/// The CUDA driver and devices of this machine.
#[derive(Clone, Debug)]
pub struct DriverReport {
    /// The CUDA version of the driver, such as (12, 4).
    pub cuda: (i32, i32),
    /// The devices, by index.
    pub devices: Vec<DeviceReport>,
}

/// A device as the driver describes it.
#[derive(Clone, Debug)]
pub struct DeviceReport {
    /// The name.
    pub name: String,
    /// The compute capability, such as (9, 0).
    pub capability: (i32, i32),
    /// The memory in bytes.
    pub memory: usize,
    /// The number of multiprocessors.
    pub multiprocessors: usize,
    /// The shared memory of a multiprocessor in bytes.
    pub shared_memory: usize,
    /// Why chainrule cannot use it, and what to do; `None` if it can.
    pub unusable: Option<String>,
}

impl fmt::Display for DeviceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.capability;
        let gib = self.memory as f64 / f64::from(1 << 30);
        write!(f, "{}, capability {major}.{minor}, {gib:.1} GiB, {} multiprocessors", self.name, self.multiprocessors)
    }
}

/// The CUDA driver and devices of this machine.
///
/// # Errors
/// If there is no driver or it has no device; the text says what is missing and what to do.
pub fn report() -> Result<DriverReport, String> {
    start()?;
    let failed = |error: DriverError| format!("the CUDA driver failed: {}", describe(error));
    let cuda = version().map_err(failed)?;
    let count = result::device::get_count().map_err(failed)?;
    if count == 0 {
        return Err(NO_DEVICE.into());
    }
    let devices = (0..count).map(device).collect::<Result<_, _>>().map_err(failed)?;
    Ok(DriverReport { cuda: (cuda / 1000, cuda % 1000 / 10), devices })
}

const NO_DRIVER: &str = "no CUDA driver found (libcuda.so, nvcuda.dll); install NVIDIA's driver, or use --device cpu";
const NO_DEVICE: &str = "the CUDA driver has no GPU; check that nvidia-smi lists it and that CUDA_VISIBLE_DEVICES does not hide it, or use \
     --device cpu";

/// Initializes the driver, once per process.
fn start() -> Result<(), String> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    let start = || {
        // SAFETY: looks for the library and opens it; the driver's initializers are trusted as any program's are.
        if !unsafe { sys::is_culib_present() } {
            return Err(NO_DRIVER.to_owned());
        }
        // cudarc panics if a library of that name lacks a symbol; the caller should get an error instead.
        match catch_unwind(AssertUnwindSafe(result::init)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE))) => Err(NO_DEVICE.into()),
            Ok(Err(error)) => {
                Err(format!("the CUDA driver failed to initialize: {}; check nvidia-smi", describe(error)))
            }
            Err(_) => Err("the library named libcuda is not a CUDA driver; reinstall NVIDIA's driver".into()),
        }
    };
    STARTED.get_or_init(start).clone()
}

fn version() -> Result<i32, DriverError> {
    let mut version: c_int = 0;
    // SAFETY: the driver is there, and the pointer is valid for the call.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result()?;
    Ok(version)
}

fn device(ordinal: c_int) -> Result<DeviceReport, DriverError> {
    use sys::CUdevice_attribute as Attribute;
    let device = result::device::get(ordinal)?;
    // SAFETY: the device is the driver's own.
    let attribute = |which| unsafe { result::device::get_attribute(device, which) };
    let capability = (
        attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
        attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
    );
    let (cuda, (major, minor)) = (version()?, MINIMUM_CAPABILITY);
    let unusable = if capability < MINIMUM_CAPABILITY {
        Some(format!(
            "its compute capability {}.{} is below {major}.{minor}; use --device cpu",
            capability.0, capability.1
        ))
    } else if cuda < MINIMUM_CUDA {
        Some(format!(
            "the driver supports CUDA {}.{}, but the kernels need {}.{}; update NVIDIA's driver to 535 or newer",
            cuda / 1000,
            cuda % 1000 / 10,
            MINIMUM_CUDA / 1000,
            MINIMUM_CUDA % 1000 / 10
        ))
    } else {
        None
    };
    Ok(DeviceReport {
        name: result::device::get_name(device)?,
        capability,
        // SAFETY: the device is the driver's own.
        memory: unsafe { result::device::total_mem(device) }?,
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as usize,
        shared_memory: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)? as usize,
        unusable,
    })
}

/// The device with this index, if it can be used.
pub(crate) fn usable(ordinal: usize) -> Result<DeviceReport, String> {
    let devices = report()?.devices;
    let count = devices.len();
    let device = devices
        .into_iter()
        .nth(ordinal)
        .ok_or_else(|| format!("only {count} GPU(s) found; use --device cuda:0 to cuda:{}", count - 1))?;
    match device.unusable {
        Some(why) => Err(format!("{}: {why}", device.name)),
        None => Ok(device),
    }
}

/// The driver's name and description of an error.
pub(crate) fn describe(error: DriverError) -> String {
    let text = |found: Result<&std::ffi::CStr, DriverError>| {
        found.map_or_else(|_| format!("{:?}", error.0), |text| text.to_string_lossy().into_owned())
    };
    format!("{} ({})", text(error.error_string()), text(error.error_name()))
}
