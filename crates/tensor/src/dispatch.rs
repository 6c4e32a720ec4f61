//! Device dispatch: a kernel runs on the CPU or on the GPU that holds its tensors.
//!
//! A kernel on a GPU accepts one-element tensors in host memory. Kernels are instantiated here, once per element type,
//! so that they are fast in a debug build of a user's program too.

use crate::device::Device;
use crate::gpu::{self, Gpu};
use crate::kernel::{
    AdamSlot, BatchNormGradients, Binary, ByteKernels, Compare, ConvGeometry, ElementKernels, Epilogue, FloatKernels,
    ImageStep, Index, Mask, PoolIndices, SgdSlot, Tap, Unary, Window, byte_kernels, element_kernels, float_kernels,
};
use crate::random::{Key, Purpose};
use crate::shape::Shape;
use crate::tensor::TensorOf;
use crate::{cpu, cuda};

/// Implements the trait of a table for its element types.
macro_rules! dispatch {
    ($(#[$about:meta])* trait $name:ident for $($t:ty),+; $($body:tt)+) => {
        dispatch!(@types [$($t),+] $name { $($body)+ });
    };
    (@types [$($t:ty),+] $name:ident $body:tt) => { $(dispatch!(@impl $t, $name $body);)+ };
    (@impl $t:ty, $name:ident {
        $($(#[$doc:meta])* fn $kernel:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $out:ty)? = $family:ident::$function:ident;)+
    }) => {
        impl $name for $t {
            $(fn $kernel($($arg: $ty),*) $(-> $out)? {
                let gpu = 'found: {
                    $(if let Some(gpu) = Placed::gpu(&$arg) {
                        break 'found Some(gpu);
                    })*
                    None
                };
                match gpu {
                    None => cpu::$family::$function($($arg),*),
                    Some(gpu) => cuda::$family::$function(gpu, $($arg),*),
                }
            })+
        }
    };
}

element_kernels!(dispatch);
byte_kernels!(dispatch);
float_kernels!(dispatch);

/// An argument of a kernel and its device. A kernel runs on a GPU if any of its tensors is on that GPU.
trait Placed {
    /// The GPU that holds it; `None` for host memory and for arguments that are not tensors.
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        None
    }
}

impl<T> Placed for &TensorOf<T> {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        TensorOf::gpu(self)
    }
}

impl<T> Placed for &mut TensorOf<T> {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        TensorOf::gpu(self)
    }
}

impl<P: Placed> Placed for Option<P> {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        self.as_ref().and_then(Placed::gpu)
    }
}

impl<T, const N: usize> Placed for [&TensorOf<T>; N] {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        self.iter().find_map(|x| TensorOf::gpu(x))
    }
}

impl<T> Placed for &[&TensorOf<T>] {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        self.iter().find_map(|x| TensorOf::gpu(x))
    }
}

impl<T> Placed for Vec<&mut TensorOf<T>> {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        self.iter().find_map(|x| TensorOf::gpu(x))
    }
}

impl Placed for Device {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        match *self {
            Self::Cpu => None,
            Self::Cuda(ordinal) => Some(gpu::open(ordinal).unwrap_or_else(|error| panic!("{error}"))),
        }
    }
}

impl Placed for &PoolIndices {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        self.index().gpu()
    }
}

impl<T> Placed for Vec<SgdSlot<'_, T>> {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        self.first().and_then(|slot| slot.parameter.gpu())
    }
}

impl<T> Placed for Vec<AdamSlot<'_, T>> {
    #[inline]
    fn gpu(&self) -> Option<&'static Gpu> {
        self.first().and_then(|slot| slot.parameter.gpu())
    }
}

/// Arguments that are not tensors.
macro_rules! nowhere {
    ($($t:ty),+ $(,)?) => { $(impl Placed for $t {})+ };
}
nowhere!(
    Unary,
    Binary,
    Compare,
    Shape,
    Key,
    &ConvGeometry,
    f32,
    f64,
    i32,
    u8,
    bool,
    usize,
    [usize; 2],
    [bool; 2],
    [bool; 3],
    &[bool]
);
nowhere!(&[Vec<Window>; 2], &[Vec<Tap>; 2], &[[f32; 256]], &[(ImageStep, Purpose)]);
impl<X> Placed for Epilogue<'_, X> {}
