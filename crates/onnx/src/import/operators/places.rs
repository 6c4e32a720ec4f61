//! Reading places of axes: indices, slices, parts, and padding that repeats elements.

use chainrule_tensor::{TensorOf, shape_rules};

use super::shapes::{lengths, with_dims};
use super::{Run, single, value};
use crate::import::attributes::Attributes;
use crate::import::pass::{Made, Pass, axes, axis, shape};
use crate::import::value::{Float, Integers, Value};

/// These places of an axis, in this order. All are inside.
fn picked(pass: &Pass, x: &Value, axis: usize, places: &[usize]) -> Made<Value> {
    let mut dims = x.dims().to_vec();
    dims[axis] = places.len();
    match x {
        Value::Float(x) => Ok(picked_floats(pass, x, axis, places)?.into()),
        Value::Integers(x) => {
            let inner: usize = dims[axis + 1..].iter().product();
            let element = |place: usize| {
                let (outer, at, rest) = (place / inner / places.len(), place / inner % places.len(), place % inner);
                Ok(x.values[(outer * x.dims[axis] + places[at]) * inner + rest])
            };
            Ok(Integers::build(dims, element)?.into())
        }
    }
}

fn picked_floats(pass: &Pass, x: &Float, axis: usize, places: &[usize]) -> Made {
    let mut dims = x.shape.to_vec();
    dims[axis] = places.len();
    let step = if places.len() > 1 { places[1] as isize - places[0] as isize } else { 1 };
    if step != 0 && !places.is_empty() && places.windows(2).all(|pair| pair[1] as isize - pair[0] as isize == step) {
        return pass.slice(x, axis, places[0], places.len(), step);
    }
    let shape = shape(&dims)?;
    let inner: usize = dims[axis + 1..].iter().product();
    // The size of the result is checked before the index, which is as large, is made.
    pass.float(&dims, &[x], || {
        let index = TensorOf::from_fn(shape, |place| places[place / inner % places.len()] as i32);
        x.var().gather(axis as isize, &index)
    })
}

/// Places of an axis, where negative ones count from its end.
fn places(indices: &Integers, len: usize) -> Made<Vec<usize>> {
    indices
        .values
        .iter()
        .map(|&place| axis(place, len).map_err(|_| format!("index {place} for an axis of length {len}")))
        .collect()
}

pub(super) fn gather(attributes: &Attributes, _: i64) -> Made<Run> {
    let number = attributes.integer("axis", 0)?;
    Ok(value(move |pass, x| {
        let (x, indices) = (x.get(0)?, x.integers(1)?);
        let along = axis(number, x.dims().len())?;
        let found = picked(pass, x, along, &places(indices, x.dims()[along])?)?;
        let dims = [&x.dims()[..along], &indices.dims, &x.dims()[along + 1..]].concat();
        with_dims(pass, &found, &dims)
    }))
}

pub(super) fn gather_elements(attributes: &Attributes, _: i64) -> Made<Run> {
    let number = attributes.integer("axis", 0)?;
    Ok(single(move |pass, x| {
        let (x, indices) = (x.float(0)?, x.integers(1)?);
        let along = axis(number, x.rank())?;
        let places: Vec<i32> = places(indices, x.shape[along])?.into_iter().map(|place| place as i32).collect();
        let index = TensorOf::from_slice(&places, shape(&indices.dims)?);
        let expected = shape_rules::gather("GatherElements", x.shape, along, index.shape());
        expected.map_err(|error| error.to_string())?;
        pass.gather(x, along, &index)
    }))
}

/// The places of an axis from `start` to `end` in steps, as NumPy counts.
fn range(len: usize, start: i64, end: i64, step: i64) -> Made<Vec<usize>> {
    if step == 0 {
        return Err("a step is 0".into());
    }
    let len = len as i64;
    let from_front = |place: i64| if place < 0 { place.saturating_add(len) } else { place };
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let (start, end) = (from_front(start).clamp(low.max(0), high.max(0)), from_front(end).clamp(low, high));
    let (distance, stride) = if step > 0 { (end - start, step) } else { (start - end, step.saturating_neg()) };
    let count = (distance.max(0) as u64).div_ceil(stride as u64) as i64;
    if len == 0 {
        return Ok(Vec::new());
    }
    Ok((0..count).map(|i| (start + i * step) as usize).collect())
}

pub(super) fn slice(attributes: &Attributes, opset: i64) -> Made<Run> {
    let old = if opset < 10 {
        let list = |name| attributes.integers(name);
        Some((list("starts")?.unwrap_or_default(), list("ends")?.unwrap_or_default(), list("axes")?))
    } else {
        None
    };
    Ok(value(move |pass, x| {
        let list = |i: usize| -> Made<Option<Vec<i64>>> { Ok(x.optional_integers(i)?.map(|list| list.values.clone())) };
        let (starts, ends, given, steps) = match &old {
            Some((starts, ends, axes)) => (starts.clone(), ends.clone(), axes.clone(), None),
            None => (x.integers(1)?.values.clone(), x.integers(2)?.values.clone(), list(3)?, list(4)?),
        };
        let mut y = x.get(0)?.clone();
        let given = given.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), given.len(), steps.len()] != [starts.len(); 3] {
            return Err(format!(
                "{} starts, {} ends, {} axes, {} steps\n  rule: as many of each",
                starts.len(),
                ends.len(),
                given.len(),
                steps.len()
            ));
        }
        axes(&given, y.dims().len())?;
        for (i, &number) in given.iter().enumerate() {
            let along = axis(number, y.dims().len())?;
            let places = range(y.dims()[along], starts[i], ends[i], steps[i])?;
            y = picked(pass, &y, along, &places)?;
        }
        Ok(y)
    }))
}

pub(super) fn split(attributes: &Attributes, opset: i64) -> Made<Run> {
    let number = attributes.integer("axis", 0)?;
    let attribute = if opset < 13 { attributes.sizes("split")? } else { None };
    let outputs = attributes.outputs();
    let announced = if opset < 18 { None } else { Some(attributes.integer("num_outputs", outputs as i64)?) };
    if announced.is_some_and(|announced| announced != outputs as i64) {
        return Err(format!(
            "attribute 'num_outputs' is {}, but the node has {outputs} outputs",
            announced.unwrap_or(0)
        ));
    }
    Ok(Box::new(move |pass, x| {
        let given = match x.optional_integers(1)? {
            Some(given) => Some(lengths(&given.values)?),
            None => attribute.clone(),
        };
        let x = x.get(0)?;
        let along = axis(number, x.dims().len())?;
        let len = x.dims()[along];
        let parts = given.unwrap_or_else(|| {
            let each = len.div_ceil(outputs.max(1));
            (0..outputs).map(|i| len.saturating_sub(i * each).min(each)).collect()
        });
        let sum = parts.iter().try_fold(0usize, |sum, &part| sum.checked_add(part));
        if parts.len() != outputs || sum != Some(len) {
            return Err(format!(
                "parts {parts:?} of an axis of length {len} for {outputs} outputs\n  rule: the parts add up to the axis"
            ));
        }
        let mut start = 0;
        let mut part = |len: usize| {
            let places: Vec<usize> = (start..start + len).collect();
            start += len;
            picked(pass, x, along, &places)
        };
        parts.into_iter().map(&mut part).collect()
    }))
}

/// Padding with a constant, the edge, a reflection or periodically; negative widths cut off.
pub(super) fn pad(attributes: &Attributes, opset: i64) -> Made<Run> {
    let mode = attributes.only_text("mode", &["constant", "reflect", "edge", "wrap"])?.to_owned();
    let old = if opset < 11 {
        Some((attributes.integers("pads")?.ok_or("attribute 'pads' is missing")?, attributes.number("value", 0.0)?))
    } else {
        None
    };
    Ok(single(move |pass, x| {
        let (pads, fill) = if let Some((pads, fill)) = &old {
            (pads.clone(), *fill)
        } else {
            let fill = match x.optional_float(2)? {
                Some(fill) => *fill.setting("the constant")?.first().ok_or("the constant has no elements")?,
                None => 0.0,
            };
            (x.integers(1)?.values.clone(), fill.into())
        };
        let given = x.optional_integers(3)?.map(|axes| axes.values.clone());
        let mut y = x.float(0)?.clone();
        let given = given.unwrap_or_else(|| (0..y.rank() as i64).collect());
        axes(&given, y.rank())?;
        if pads.len() != 2 * given.len() || pads.iter().any(|width| !(-LARGEST_PAD..=LARGEST_PAD).contains(width)) {
            return Err(format!(
                "the widths {pads:?} for {} axes\n  rule: two for each axis, at most {LARGEST_PAD}",
                given.len()
            ));
        }
        let mut widths = vec![(0, 0); y.rank()];
        for (i, &number) in given.iter().enumerate() {
            let along = axis(number, y.rank())?;
            let (before, after, len) = (pads[i], pads[given.len() + i], y.shape[along] as i64);
            if mode == "constant" {
                let (cut_before, cut_after) = ((-before).max(0), (-after).max(0));
                let kept = (cut_before.min(len)..(len - cut_after).max(0)).map(|place| place as usize);
                y = picked_floats(pass, &y, along, &kept.collect::<Vec<_>>())?;
                widths[along] = (before.max(0) as usize, after.max(0) as usize);
            } else {
                let places: Made<Vec<usize>> = (-before..len + after).map(|place| inside(&mode, place, len)).collect();
                y = picked_floats(pass, &y, along, &places?)?;
            }
        }
        pass.pad(&y, &widths, fill)
    }))
}

/// The widest padding.
const LARGEST_PAD: i64 = 1 << 20;

/// The place of an axis that is repeated at a place outside.
fn inside(mode: &str, place: i64, len: i64) -> Made<usize> {
    let found = match mode {
        "edge" => place.clamp(0, len - 1),
        "wrap" => place.rem_euclid(len),
        // Back and forth between the first and the last, which are not repeated.
        _ if len > 1 => {
            let period = 2 * (len - 1);
            let at = place.rem_euclid(period);
            at.min(period - at)
        }
        _ => return Err("an axis of length 1 cannot be reflected".into()),
    };
    Ok(found as usize)
}
