//! Tensors as safetensors files store them, and their conversion.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chainrule_tensor::{Float, MAX_RANK, Shape, TensorOf};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// A tensor as stored in a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Cow<'a, [u8]>,
}

impl Stored<'_> {
    pub(crate) fn new<T: Float>(x: &TensorOf<T>) -> Self {
        let bytes: Vec<u8> = x.to_vec().into_iter().flat_map(|v| le_bytes(v.to_f64(), T::NAME)).collect();
        Self { dtype: dtype::<T>(), shape: x.shape().to_vec(), bytes: bytes.into() }
    }

    pub(crate) fn into_owned(self) -> Stored<'static> {
        Stored { bytes: Cow::Owned(self.bytes.into_owned()), ..self }
    }

    /// The tensor, whose numbers are `T`s.
    ///
    /// # Errors
    /// If they are not, or if it has too many axes; the text says what it has.
    pub(crate) fn tensor<T: Float>(&self) -> Result<TensorOf<T>, String> {
        if self.dtype != dtype::<T>() {
            return Err(format!("saved as {:?}, the net has {}", self.dtype, T::NAME));
        }
        self.converted()
    }

    /// The tensor, with its numbers converted from any of the formats f16, bf16, f32 and f64.
    ///
    /// # Errors
    /// If it has too many axes, if the numbers have another format, or one is too large for `T`; the text says which.
    pub(crate) fn converted<T: Float>(&self) -> Result<TensorOf<T>, String> {
        if self.shape.len() > MAX_RANK {
            return Err(format!("saved {}, but a tensor has at most {MAX_RANK} axes", self.shape_text()));
        }
        let two = |number: fn(u16) -> f64| {
            self.bytes.as_chunks().0.iter().map(|b| T::from_f64(number(u16::from_le_bytes(*b)))).collect()
        };
        let values: Vec<T> = match self.dtype {
            Dtype::F16 => two(from_f16),
            Dtype::BF16 => two(from_bf16),
            Dtype::F32 => self.bytes.as_chunks().0.iter().map(|b| T::from_f64(f32::from_le_bytes(*b).into())).collect(),
            Dtype::F64 => {
                let numbers = self.bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b));
                if let Some(large) = numbers.clone().find(|x| x.is_finite() && !T::from_f64(*x).to_f64().is_finite()) {
                    return Err(format!("saved with {large:e}, which is too large for {}", T::NAME));
                }
                numbers.map(T::from_f64).collect()
            }
            other => return Err(format!("saved as {other:?}, the net has {}", T::NAME)),
        };
        Ok(TensorOf::from_slice(&values, self.shape.clone()))
    }

    /// The count in a tensor of a single integer.
    ///
    /// # Errors
    /// If it is not one; the text says what it is.
    pub(crate) fn count(&self) -> Result<u64, String> {
        let signed = match self.dtype {
            Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => true,
            Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => false,
            _ => return Err(self.no_count()),
        };
        // A format has 1 to 8 bytes, so a single integer is one if its bytes are as many.
        let single = self.shape.iter().product::<usize>() == 1;
        let negative = signed && self.bytes.last().is_some_and(|&high| high > i8::MAX as u8);
        if !single || negative {
            return Err(self.no_count());
        }
        Ok(self.bytes.iter().rev().fold(0, |count, &byte| count << 8 | u64::from(byte)))
    }

    fn no_count(&self) -> String {
        format!("saved as {:?} {}, the net has a count", self.dtype, self.shape_text())
    }

    /// The shape as text. In a file it can have more axes than a [`Shape`].
    pub(crate) fn shape_text(&self) -> String {
        if self.shape.len() > MAX_RANK { format!("{:?}", self.shape) } else { Shape::from(&*self.shape).to_string() }
    }
}

/// The number that the bits of an IEEE binary16 stand for.
fn from_f16(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction > 0.0 => f64::NAN,
        31 => f64::INFINITY,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// A bfloat16 is the upper half of an f32.
fn from_bf16(bits: u16) -> f64 {
    f32::from_bits(u32::from(bits) << 16).into()
}

/// A number's bytes in a file. The conversion to `f64` is exact for every `f32`.
fn le_bytes(value: f64, name: &str) -> Vec<u8> {
    if name == "f32" { (value as f32).to_le_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
}

pub(crate) fn dtype<T: Float>() -> Dtype {
    if T::NAME == "f32" { Dtype::F32 } else { Dtype::F64 }
}

/// The tensors of a file by name.
pub(crate) fn read_tensors<'a>(bytes: &'a [u8]) -> Result<BTreeMap<String, Stored<'a>>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let stored =
        |t: &TensorView<'a>| Stored { dtype: t.dtype(), shape: t.shape().to_vec(), bytes: Cow::Borrowed(t.data()) };
    Ok(file.tensors().into_iter().map(|(name, t)| (name, stored(&t))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_axes_are_an_error() {
        let stored = Stored { dtype: Dtype::F32, shape: vec![1; 9], bytes: vec![0; 4].into() };
        let text = "saved [1, 1, 1, 1, 1, 1, 1, 1, 1], but a tensor has at most 8 axes";
        assert_eq!(stored.tensor::<f32>().unwrap_err(), text);
        assert_eq!(stored.converted::<f64>().unwrap_err(), text);
        assert_eq!(stored.tensor::<f64>().unwrap_err(), "saved as F32, the net has f64");
    }

    #[test]
    fn halves_are_the_numbers_of_the_standard() {
        for (bits, expected) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 2f64.powi(-14)),
            (0x03ff, 1023.0 * 2f64.powi(-24)),
            (0x0001, 2f64.powi(-24)),
            (0x3555, 0.333_251_953_125),
            (0x7c00, f64::INFINITY),
            (0xfc00, f64::NEG_INFINITY),
        ] {
            assert_eq!(from_f16(bits), expected, "{bits:#06x}");
        }
        assert!(from_f16(0x7e00).is_nan() && from_f16(0x8000).is_sign_negative());
        for (bits, expected) in [(0x3f80, 1.0), (0xc000, -2.0), (0x0001, 2f64.powi(-133)), (0x7f80, f64::INFINITY)] {
            assert_eq!(from_bf16(bits), expected, "{bits:#06x}");
        }
    }
}
