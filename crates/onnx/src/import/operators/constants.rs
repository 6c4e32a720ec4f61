//! Constants, conversions between types, and what describes a tensor.

use chainrule_tensor::Tensor;

use super::shapes::lengths;
use super::{Run, value};
use crate::import::attributes::Attributes;
use crate::import::pass::Made;
use crate::import::tensors;
use crate::import::value::{Float, Integers, Value};
use crate::proto::tensor_proto::DataType;

pub(super) fn identity(_: &Attributes, _: i64) -> Made<Run> {
    Ok(value(|_, x| Ok(x.get(0)?.clone())))
}

/// The identity, as always at inference.
pub(super) fn dropout(attributes: &Attributes, _: i64) -> Made<Run> {
    attributes.number("ratio", 0.5)?;
    attributes.integer("seed", 0)?;
    Ok(value(|_, x| {
        if x.optional_integers(2)?.is_some_and(|training| training.values.iter().any(|&flag| flag != 0)) {
            return Err("training_mode is set\n  rule: dropout is supported at inference".into());
        }
        Ok(x.get(0)?.clone())
    }))
}

pub(super) fn constant(attributes: &Attributes, _: i64) -> Made<Run> {
    let mut found: Vec<Value> = Vec::new();
    if let Some(tensor) = attributes.tensor("value")? {
        found.push(tensors::value(tensor)?);
    }
    if attributes.has("value_float") {
        found.push(Float::constant(Tensor::scalar(attributes.number("value_float", 0.0)? as f32)).into());
    }
    if let Some(values) = attributes.numbers("value_floats")? {
        found.push(Float::constant(Tensor::from_slice(&values, values.len())).into());
    }
    if attributes.has("value_int") {
        found.push(Integers { dims: Vec::new(), values: vec![attributes.integer("value_int", 0)?] }.into());
    }
    if let Some(values) = attributes.integers("value_ints")? {
        found.push(Integers::list(values).into());
    }
    match <[Value; 1]>::try_from(found) {
        Ok([constant]) => Ok(value(move |_, _| Ok(constant.clone()))),
        Err(found) if found.is_empty() => {
            attributes.finish()?;
            Err("it has no value".into())
        }
        Err(_) => Err("it has several values".into()),
    }
}

pub(super) fn constant_of_shape(attributes: &Attributes, _: i64) -> Made<Run> {
    let fill = match attributes.tensor("value")? {
        Some(tensor) => tensors::value(tensor)?,
        None => Float::constant(Tensor::from_slice(&[0.0], 1)).into(),
    };
    Ok(value(move |pass, x| {
        let dims = lengths(&x.integers(0)?.values)?;
        match &fill {
            Value::Float(fill) => match fill.setting("the value")?.as_slice() {
                &[fill] => Ok(pass.constant(&dims, |shape| Tensor::full(shape, fill))?.into()),
                _ => Err("attribute 'value' has several elements".into()),
            },
            Value::Integers(fill) => {
                let fill = fill.single("attribute 'value'")?;
                Ok(Integers::build(dims, |_| Ok(fill))?.into())
            }
        }
    }))
}

pub(super) fn cast(attributes: &Attributes, _: i64) -> Made<Run> {
    let to = attributes.integer("to", 0)?;
    attributes.integer("saturate", 1)?;
    attributes.text("round_mode", "up")?;
    let to = i32::try_from(to).ok().and_then(|to| DataType::try_from(to).ok()).unwrap_or(DataType::Undefined);
    if !matches!(to, DataType::Float | DataType::Int64 | DataType::Int32 | DataType::Bool) {
        return Err(format!(
            "attribute 'to' is {}\n  rule: FLOAT, INT64, INT32 and BOOL are supported",
            to.as_str_name()
        ));
    }
    let convert = move |x: i64| match to {
        DataType::Bool => i64::from(x != 0),
        DataType::Int32 => i64::from(x as i32),
        _ => x,
    };
    Ok(value(move |pass, x| {
        Ok(match (x.get(0)?, to) {
            (Value::Float(x), DataType::Float) => x.clone().into(),
            (Value::Integers(x), DataType::Float) => {
                let values: Vec<f32> = x.values.iter().map(|&x| x as f32).collect();
                pass.constant(&x.dims, |shape| Tensor::from_slice(&values, shape))?.into()
            }
            (Value::Integers(x), _) => x.map(|x| Some(convert(x)))?.into(),
            (Value::Float(x), DataType::Bool) => {
                let values = x.setting("the input of a cast to truth values")?;
                Integers { dims: x.shape.to_vec(), values: values.iter().map(|&x| i64::from(x != 0.0)).collect() }
                    .into()
            }
            (Value::Float(x), _) => {
                let values = x.setting("the input of a cast to integers")?;
                Integers { dims: x.shape.to_vec(), values: values.iter().map(|&x| convert(x as i64)).collect() }.into()
            }
        })
    }))
}

pub(super) fn shape(attributes: &Attributes, _: i64) -> Made<Run> {
    let (start, end) = (attributes.integer("start", 0)?, attributes.integer("end", i64::MAX)?);
    Ok(value(move |_, x| {
        let dims = x.get(0)?.dims();
        let rank = dims.len() as i64;
        let at = |place: i64| if place < 0 { place.saturating_add(rank) } else { place }.clamp(0, rank) as usize;
        let part = dims.get(at(start)..at(end)).unwrap_or_default();
        Ok(Integers::list(part.iter().map(|&len| len as i64).collect()).into())
    }))
}

pub(super) fn size(_: &Attributes, _: i64) -> Made<Run> {
    Ok(value(|_, x| {
        let numel: usize = x.get(0)?.dims().iter().product();
        Ok(Integers { dims: Vec::new(), values: vec![numel as i64] }.into())
    }))
}
