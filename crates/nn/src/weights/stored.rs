//! Tensors as files store them, and their conversion.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chainrule_tensor::{Element, Float, MAX_RANK, Scalar, Shape, TensorOf};
use safetensors::tensor::Dtype;

use crate::error::NnError;

/// A tensor as a file stores it: a format, a shape, and the bytes of its numbers, little-endian and in row-major order.
///
/// It may have a format or more axes than a [`TensorOf`] can have. Files of any kind can be read to it, for
/// [`LoadOptions::load_tensors`](crate::LoadOptions::load_tensors).
///
/// ```
/// use chainrule_nn::{Dtype, StoredTensor};
/// use chainrule_tensor::Tensor;
///
/// let halves = StoredTensor::new(Dtype::F16, [2], vec![0x00, 0x3c, 0x00, 0xc0]);
/// assert_eq!(halves.to_tensor::<f32>()?, Tensor::from([1.0, -2.0]));
/// # Ok::<(), chainrule_nn::NnError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTensor<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Cow<'a, [u8]>,
}

/// Tensors by name, as a file stores them.
pub type StoredTensors<'a> = BTreeMap<String, StoredTensor<'a>>;

impl<'a> StoredTensor<'a> {
    /// A tensor of these bytes.
    ///
    /// # Panics
    /// If there are not as many bytes as the format and the shape need.
    #[track_caller]
    pub fn new(dtype: Dtype, shape: impl Into<Vec<usize>>, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        let stored = Self { dtype, shape: shape.into(), bytes: bytes.into() };
        let numel = stored.shape.iter().try_fold(1_usize, |numel, &n| numel.checked_mul(n));
        let bits = numel.and_then(|numel| numel.checked_mul(dtype.bitsize()));
        assert!(
            bits.is_some_and(|bits| bits.is_multiple_of(8) && bits / 8 == stored.bytes.len()),
            "a stored tensor: {} bytes are not those of {dtype:?} {:?}",
            stored.bytes.len(),
            stored.shape
        );
        stored
    }

    /// The format of its numbers.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The lengths of its axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The bytes of its numbers, little-endian and in row-major order.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> StoredTensor<'static> {
        StoredTensor { bytes: Cow::Owned(self.bytes.into_owned()), ..self }
    }

    /// The tensor, with its numbers converted: floats of any format (f16, bf16, f32, f64) to the nearest `f32` or `f64`, and
    /// integers and Boolean values to a type that has exactly these numbers.
    ///
    /// # Errors
    /// [`NnError::Conversion`] if it has too many axes or another format, or if `T` does not have one of its numbers.
    pub fn to_tensor<T: Element>(&self) -> Result<TensorOf<T>, NnError> {
        self.converted().map_err(|why| NnError::Conversion { why })
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

    /// Whether its numbers are floats that can be converted.
    pub(crate) fn has_floats(&self) -> bool {
        matches!(self.dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
    }

    /// As [`to_tensor`](Self::to_tensor); the error is only the text that says what the tensor has.
    pub(crate) fn converted<T: Element>(&self) -> Result<TensorOf<T>, String> {
        if self.shape.len() > MAX_RANK {
            return Err(format!("saved {}, but a tensor has at most {MAX_RANK} axes", self.shape_text()));
        }
        let values = if !self.has_floats() {
            self.integers()?
        } else if matches!(T::NAME, "f32" | "f64") {
            self.floats()?
        } else {
            return Err(format!("saved as {:?}, which {} cannot represent", self.dtype, T::NAME));
        };
        Ok(TensorOf::from_slice(&values, self.shape.clone()))
    }

    /// The numbers of a format of floats.
    fn floats<T: Element>(&self) -> Result<Vec<T>, String> {
        let two = |number: fn(u16) -> f64| {
            self.bytes.as_chunks().0.iter().map(|b| T::from_f64(number(u16::from_le_bytes(*b)))).collect()
        };
        Ok(match self.dtype {
            Dtype::F16 => two(from_f16),
            Dtype::BF16 => two(from_bf16),
            Dtype::F32 => self.bytes.as_chunks().0.iter().map(|b| T::from_f64(f32::from_le_bytes(*b).into())).collect(),
            _ => {
                let numbers = self.bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b));
                if let Some(large) = numbers.clone().find(|x| x.is_finite() && !T::from_f64(*x).to_f64().is_finite()) {
                    return Err(format!("saved with {large:e}, which is too large for {}", T::NAME));
                }
                numbers.map(T::from_f64).collect()
            }
        })
    }

    /// The numbers of a format of integers or Boolean values, each exactly.
    fn integers<T: Element>(&self) -> Result<Vec<T>, String> {
        let signed = match self.dtype {
            Dtype::BOOL => false,
            other => signed(other).ok_or_else(|| format!("saved as {other:?}, which {} cannot represent", T::NAME))?,
        };
        let exact = |bytes: &[u8]| {
            let exact = integer(bytes, signed);
            let value = T::from_f64(exact as f64);
            let same = value.to_f64() as i128 == exact;
            if same { Ok(value) } else { Err(format!("saved with {exact}, which {} cannot represent", T::NAME)) }
        };
        self.bytes.chunks_exact(self.dtype.bitsize() / 8).map(exact).collect()
    }

    /// The count in a tensor of a single integer.
    ///
    /// # Errors
    /// If it is not one; the text says what it is.
    pub(crate) fn count(&self) -> Result<u64, String> {
        let single = self.shape.iter().product::<usize>() == 1;
        let count = signed(self.dtype).filter(|_| single).map(|signed| integer(&self.bytes, signed));
        count
            .and_then(|count| u64::try_from(count).ok())
            .ok_or_else(|| format!("saved as {:?} {}, the net has a count", self.dtype, self.shape_text()))
    }

    /// A count as `PyTorch` stores it: a scalar of 64 bits.
    pub(crate) fn count_of(count: u64) -> Self {
        Self { dtype: Dtype::I64, shape: Vec::new(), bytes: count.to_le_bytes().to_vec().into() }
    }

    /// The shape as text. In a file it can have more axes than a [`Shape`].
    pub(crate) fn shape_text(&self) -> String {
        if self.shape.len() > MAX_RANK { format!("{:?}", self.shape) } else { Shape::from(&*self.shape).to_string() }
    }
}

impl<T: Element> From<&TensorOf<T>> for StoredTensor<'static> {
    fn from(x: &TensorOf<T>) -> Self {
        let dtype = dtype::<T>();
        let mut bytes = Vec::with_capacity(x.numel() * dtype.bitsize() / 8);
        // Every number of an element type is exactly an f64.
        for value in x.to_vec().into_iter().map(Scalar::to_f64) {
            match dtype {
                Dtype::F32 => bytes.extend((value as f32).to_le_bytes()),
                Dtype::I32 => bytes.extend((value as i32).to_le_bytes()),
                Dtype::U8 => bytes.push(value as u8),
                _ => bytes.extend(value.to_le_bytes()),
            }
        }
        Self { dtype, shape: x.shape().to_vec(), bytes: bytes.into() }
    }
}

/// Whether a format of integers has a sign; `None` for other formats.
fn signed(dtype: Dtype) -> Option<bool> {
    match dtype {
        Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => Some(true),
        Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => Some(false),
        _ => None,
    }
}

/// The integer of one to eight little-endian bytes.
fn integer(bytes: &[u8], signed: bool) -> i128 {
    let high = if signed && bytes.last().is_some_and(|&high| high > i8::MAX as u8) { -1 } else { 0 };
    bytes.iter().rev().fold(high, |number, &byte| number << 8 | i128::from(byte))
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

/// The format of an element type.
pub(crate) fn dtype<T: Scalar>() -> Dtype {
    match T::NAME {
        "f32" => Dtype::F32,
        "f64" => Dtype::F64,
        "i32" => Dtype::I32,
        "u8" => Dtype::U8,
        other => unreachable!("{other} is no element type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_axes_are_an_error() {
        let stored = StoredTensor::new(Dtype::F32, [1; 9], vec![0; 4]);
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
