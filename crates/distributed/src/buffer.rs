//! Flat tensors of either float type.

use chainrule_tensor::{Device, Float, Tensor, Tensor64, TensorOf};

/// A contiguous tensor (n) that processes exchange, on the CPU or on a GPU.
#[derive(Clone, Debug)]
pub enum Buffer {
    /// 32-bit floats.
    F32(Tensor),
    /// 64-bit floats.
    F64(Tensor64),
}

impl Buffer {
    /// The number of elements.
    pub fn numel(&self) -> usize {
        match self {
            Self::F32(x) => x.numel(),
            Self::F64(x) => x.numel(),
        }
    }

    /// The size in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::F32(x) => x.numel() * size_of::<f32>(),
            Self::F64(x) => x.numel() * size_of::<f64>(),
        }
    }

    /// The device.
    pub fn device(&self) -> Device {
        match self {
            Self::F32(x) => x.device(),
            Self::F64(x) => x.device(),
        }
    }

    /// The same on a device.
    #[must_use]
    pub fn to(&self, device: Device) -> Self {
        match self {
            Self::F32(x) => Self::F32(x.to(device)),
            Self::F64(x) => Self::F64(x.to(device)),
        }
    }
}

/// An element type whose tensors processes can exchange.
pub trait Reducible: Float {
    /// The tensor, flat.
    fn into_buffer(x: &TensorOf<Self>) -> Buffer;

    /// The tensor (n) in a buffer.
    ///
    /// # Panics
    /// If its elements are of another type.
    fn from_buffer(buffer: Buffer) -> TensorOf<Self>;
}

macro_rules! reducible {
    ($t:ty, $variant:ident) => {
        impl Reducible for $t {
            fn into_buffer(x: &TensorOf<Self>) -> Buffer {
                Buffer::$variant(x.reshape(x.numel()).contiguous())
            }

            fn from_buffer(buffer: Buffer) -> TensorOf<Self> {
                match buffer {
                    Buffer::$variant(x) => x,
                    other => panic!("a buffer of {} where {} was sent", other.element(), stringify!($t)),
                }
            }
        }
    };
}

reducible!(f32, F32);
reducible!(f64, F64);

impl Buffer {
    /// The name of the element type.
    fn element(&self) -> &'static str {
        match self {
            Self::F32(_) => "f32",
            Self::F64(_) => "f64",
        }
    }
}
