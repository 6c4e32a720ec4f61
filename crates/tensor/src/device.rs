//! The device of a tensor: a run-time value, not a type.

use std::fmt;
use std::str::FromStr;

use crate::error::TensorError;
use crate::gpu::{self, Gpu};

/// The device on which a tensor is stored and computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Device {
    /// The CPU.
    #[default]
    Cpu,
    /// The GPU with this index.
    Cuda(usize),
}

impl Device {
    /// The best available device; if it is not a GPU, also the reason.
    pub fn auto() -> (Self, Option<String>) {
        match Self::Cuda(0).ready() {
            Ok(device) => (device, None),
            Err(TensorError::DeviceUnavailable { why, .. }) => (Self::Cpu, Some(why)),
            Err(error) => (Self::Cpu, Some(error.to_string())),
        }
    }

    /// Returns the device if it can be used on this machine.
    ///
    /// # Errors
    /// [`TensorError::DeviceUnavailable`], with the reason.
    pub fn ready(self) -> Result<Self, TensorError> {
        match self {
            Self::Cpu => Ok(self),
            Self::Cuda(ordinal) => gpu::open(ordinal).map(|_| self),
        }
    }
}

impl Gpu {
    /// The device as others name it.
    pub(crate) fn device(&self) -> Device {
        Device::Cuda(self.ordinal())
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

impl FromStr for Device {
    type Err = TensorError;

    /// `cpu`, `cuda:N`, or `auto` for [`Device::auto`].
    fn from_str(name: &str) -> Result<Self, TensorError> {
        match name {
            "auto" => Ok(Self::auto().0),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => name
                .strip_prefix("cuda:")
                .and_then(|n| n.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| TensorError::UnknownDevice(name.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_printed() {
        assert_eq!("cpu".parse(), Ok(Device::Cpu));
        assert_eq!("cuda:3".parse(), Ok(Device::Cuda(3)));
        assert_eq!(Device::Cuda(3).to_string(), "cuda:3");
        let error = "gpu".parse::<Device>().unwrap_err().to_string();
        assert!(error.contains("'gpu'") && error.contains("cuda:N"), "{error}");
    }
}
