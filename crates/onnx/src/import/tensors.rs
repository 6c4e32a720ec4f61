//! Tensors as a model stores them.

use chainrule_tensor::{MAX_RANK, Shape, Tensor};
use half::{bf16, f16};

use super::pass::LARGEST;
use super::value::{Float, Integers, Value};
use crate::proto::TensorProto;
use crate::proto::tensor_proto::{DataLocation, DataType};

/// The value of a stored tensor; floats of 16 and 64 bits are converted to `f32`.
///
/// # Errors
/// If its type is not supported, it is in another file, or it does not have the elements that its axes announce.
pub(super) fn value(tensor: &TensorProto) -> Result<Value, String> {
    if tensor.data_location() == DataLocation::External || !tensor.external_data.is_empty() {
        let file =
            tensor.external_data.iter().find(|entry| entry.key() == "location").map_or("", |entry| entry.value());
        return Err(format!(
            "its elements are in another file, '{}'\n  rule: save the model with all weights in one file",
            file.escape_debug()
        ));
    }
    if tensor.segment.is_some() {
        return Err("it is stored in segments, which are not supported".into());
    }
    let dims = axes(tensor)?;
    let numel = dims.iter().try_fold(1usize, |n, &len| n.checked_mul(len));
    let numel = numel.ok_or_else(|| format!("its axes {dims:?} have too many elements"))?;
    let floats = |values: Vec<f32>| -> Result<Value, String> {
        counted(&dims, numel, values.len())?;
        Ok(Float::constant(Tensor::from_slice(&values, Shape::new(&dims))).into())
    };
    let integers = |values: Vec<i64>| -> Result<Value, String> {
        counted(&dims, numel, values.len())?;
        Ok(Integers { dims: dims.clone(), values }.into())
    };
    let bits = || tensor.int32_data.iter().map(|&bits| bits as u16);
    match DataType::try_from(tensor.data_type()).unwrap_or(DataType::Undefined) {
        DataType::Float => {
            let values = raw(tensor, f32::from_le_bytes)?;
            floats(values.unwrap_or_else(|| tensor.float_data.clone()))
        }
        DataType::Double => {
            let values = raw(tensor, f64::from_le_bytes)?.unwrap_or_else(|| tensor.double_data.clone());
            if let Some(large) = values.iter().find(|x| x.is_finite() && !(**x as f32).is_finite()) {
                return Err(format!("it has {large:e}, which is too large for f32"));
            }
            floats(values.into_iter().map(|x| x as f32).collect())
        }
        DataType::Float16 => {
            let values = raw(tensor, |bytes| f16::from_le_bytes(bytes).to_f32())?;
            floats(values.unwrap_or_else(|| bits().map(|bits| f16::from_bits(bits).to_f32()).collect()))
        }
        DataType::Bfloat16 => {
            let values = raw(tensor, |bytes| bf16::from_le_bytes(bytes).to_f32())?;
            floats(values.unwrap_or_else(|| bits().map(|bits| bf16::from_bits(bits).to_f32()).collect()))
        }
        DataType::Int64 => integers(raw(tensor, i64::from_le_bytes)?.unwrap_or_else(|| tensor.int64_data.clone())),
        DataType::Int32 => {
            let values = raw(tensor, |bytes| i64::from(i32::from_le_bytes(bytes)))?;
            integers(values.unwrap_or_else(|| tensor.int32_data.iter().map(|&x| x.into()).collect()))
        }
        DataType::Bool => {
            let values = raw(tensor, |[byte]| i64::from(byte != 0))?;
            integers(values.unwrap_or_else(|| tensor.int32_data.iter().map(|&x| i64::from(x != 0)).collect()))
        }
        other => Err(format!(
            "it is of type {}\n  rule: FLOAT, FLOAT16, BFLOAT16, DOUBLE, INT64, INT32 and BOOL are supported",
            other.as_str_name()
        )),
    }
}

/// The lengths of the axes.
fn axes(tensor: &TensorProto) -> Result<Vec<usize>, String> {
    let dims: Option<Vec<usize>> =
        tensor.dims.iter().map(|&len| usize::try_from(len).ok().filter(|&len| len <= LARGEST)).collect();
    match dims {
        Some(dims) if dims.len() <= MAX_RANK => Ok(dims),
        Some(dims) => Err(format!("it has {} axes\n  rule: at most {MAX_RANK} axes", dims.len())),
        None => Err(format!("an axis has a length that is negative or more than {LARGEST}")),
    }
}

fn counted(dims: &[usize], expected: usize, found: usize) -> Result<(), String> {
    if expected == found {
        Ok(())
    } else {
        Err(format!("it has {found} elements, its axes {dims:?} announce {expected}"))
    }
}

/// The elements, if they are stored as bytes. A tensor without elements may be stored either way.
fn raw<T, const N: usize>(tensor: &TensorProto, element: impl Fn([u8; N]) -> T) -> Result<Option<Vec<T>>, String> {
    let Some(bytes) = &tensor.raw_data else {
        return Ok(None);
    };
    let (elements, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(format!("it has {} bytes, which are no multiple of {N}", bytes.len()));
    }
    Ok(Some(elements.iter().map(|&bytes| element(bytes)).collect()))
}
