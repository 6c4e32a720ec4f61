//! The same elements with other axes, and concatenation.

use super::integers::numel;
use super::reduce::Axes;
use super::{Run, single, value};
use crate::import::attributes::Attributes;
use crate::import::pass::{Made, Pass, axes, axis};
use crate::import::value::{Integers, Value};

impl Value {
    /// The lengths of the axes.
    pub(super) fn dims(&self) -> &[usize] {
        match self {
            Self::Float(x) => &x.shape,
            Self::Integers(x) => &x.dims,
        }
    }
}

/// The same elements in row-major order with other axes.
pub(super) fn with_dims(pass: &Pass, x: &Value, dims: &[usize]) -> Made<Value> {
    match x {
        Value::Float(x) => Ok(pass.reshape(x, dims)?.into()),
        Value::Integers(x) if numel(dims)? == x.values.len() => {
            Ok(Integers { dims: dims.to_vec(), values: x.values.clone() }.into())
        }
        Value::Integers(x) => {
            Err(format!("{:?} cannot become {dims:?}\n  rule: the number of elements is unchanged", x.dims))
        }
    }
}

/// Lengths of axes, none of them negative.
pub(super) fn lengths(values: &[i64]) -> Made<Vec<usize>> {
    let lengths: Result<Vec<usize>, _> = values.iter().map(|&len| usize::try_from(len)).collect();
    lengths.map_err(|_| format!("the shape {values:?} has a negative length"))
}

pub(super) fn reshape(attributes: &Attributes, _: i64) -> Made<Run> {
    let allow_zero = attributes.flag("allowzero", false)?;
    Ok(value(move |pass, x| {
        let (x, wanted) = (x.get(0)?, &x.integers(1)?.values);
        let from = x.dims();
        let mut dims = Vec::new();
        for (i, &len) in wanted.iter().enumerate() {
            dims.push(match len {
                -1 => 1,
                0 if !allow_zero => *from.get(i).ok_or_else(|| {
                    format!(
                        "the shape {wanted:?} for an input {from:?}\n  rule: 0 stands for the length that the axis had"
                    )
                })?,
                len => usize::try_from(len).map_err(|_| format!("the shape {wanted:?} has a negative length"))?,
            });
        }
        let mut open = wanted.iter().enumerate().filter(|&(_, &len)| len == -1).map(|(i, _)| i);
        if let Some(axis) = open.next() {
            let numel: usize = from.iter().product();
            let known = dims
                .iter()
                .try_fold(1usize, |n, &len| n.checked_mul(len))
                .filter(|&n| n > 0 && numel.is_multiple_of(n));
            let known = known.filter(|_| open.next().is_none());
            dims[axis] = numel / known.ok_or_else(|| format!("{from:?} cannot become {wanted:?}\n  rule: the number of elements is unchanged, and one −1 stands for what is left"))?;
        }
        with_dims(pass, x, &dims)
    }))
}

pub(super) fn flatten(attributes: &Attributes, _: i64) -> Made<Run> {
    let number = attributes.integer("axis", 1)?;
    Ok(single(move |pass, x| {
        let x = x.float(0)?;
        let at = if number == x.rank() as i64 { x.rank() } else { axis(number, x.rank())? };
        let (rows, columns) = x.shape.split_at(at);
        // The usual case is an operation of its own.
        if at == 1 && x.rank() > 1 {
            return pass.float(&[rows[0], columns.iter().product()], &[x], || x.var().flatten());
        }
        pass.reshape(x, &[rows.iter().product(), columns.iter().product()])
    }))
}

pub(super) fn squeeze(attributes: &Attributes, opset: i64) -> Made<Run> {
    let given = Axes::of(attributes, opset, 13)?;
    Ok(value(move |pass, x| {
        let numbers = given.get(x)?;
        let x = x.get(0)?;
        let dims = x.dims();
        let gone: Vec<usize> = match numbers {
            Some(numbers) => axes(&numbers, dims.len())?,
            None => (0..dims.len()).filter(|&axis| dims[axis] == 1).collect(),
        };
        if let Some(&long) = gone.iter().find(|&&axis| dims[axis] != 1) {
            return Err(format!(
                "axis {long} of {dims:?} has length {}\n  rule: only axes of length 1 are removed",
                dims[long]
            ));
        }
        let left: Vec<usize> = (0..dims.len()).filter(|axis| !gone.contains(axis)).map(|axis| dims[axis]).collect();
        with_dims(pass, x, &left)
    }))
}

pub(super) fn unsqueeze(attributes: &Attributes, opset: i64) -> Made<Run> {
    let given = Axes::of(attributes, opset, 13)?;
    Ok(value(move |pass, x| {
        let numbers = given.get(x)?.ok_or("it has no axes")?;
        let x = x.get(0)?;
        let mut dims = x.dims().to_vec();
        for new in axes(&numbers, dims.len() + numbers.len())? {
            dims.insert(new, 1);
        }
        with_dims(pass, x, &dims)
    }))
}

pub(super) fn transpose(attributes: &Attributes, _: i64) -> Made<Run> {
    let order = attributes.integers("perm")?;
    Ok(value(move |pass, x| {
        let x = x.get(0)?;
        let rank = x.dims().len();
        let order: Vec<usize> = match &order {
            Some(order) => order.iter().map(|&number| axis(number, rank)).collect::<Made<_>>()?,
            None => (0..rank).rev().collect(),
        };
        match x {
            Value::Float(x) => Ok(pass.permute(x, &order)?.into()),
            Value::Integers(x) => Ok(permuted(x, &order)?.into()),
        }
    }))
}

pub(super) fn concat(attributes: &Attributes, _: i64) -> Made<Run> {
    let number = attributes.integer("axis", 1)?;
    Ok(value(move |pass, x| {
        let first = x.get(0)?;
        let along = axis(number, first.dims().len())?;
        if let Value::Float(_) = first {
            let parts = (0..x.len()).map(|i| x.float(i)).collect::<Made<Vec<_>>>()?;
            return Ok(pass.concat(&parts, along)?.into());
        }
        let parts = (0..x.len()).map(|i| x.integers(i)).collect::<Made<Vec<_>>>()?;
        let mut dims = parts[0].dims.clone();
        dims[along] = 0;
        for part in &parts {
            let same = |axis: usize| axis == along || part.dims[axis] == parts[0].dims[axis];
            if part.dims.len() != dims.len() || !(0..dims.len()).all(same) {
                return Err(format!(
                    "parts {:?} and {:?}\n  rule: all axes but {along} are equal",
                    parts[0].dims, part.dims
                ));
            }
            dims[along] += part.dims[along];
        }
        let outer: usize = dims[..along].iter().product();
        let row = |part: &Integers, i: usize| {
            let len = part.values.len() / outer.max(1);
            part.values[i * len..(i + 1) * len].to_vec()
        };
        let values: Vec<i64> = (0..outer).flat_map(|i| parts.iter().flat_map(move |part| row(part, i))).collect();
        numel(&dims)?;
        Ok(Integers { dims, values }.into())
    }))
}

pub(super) fn expand(_: &Attributes, _: i64) -> Made<Run> {
    Ok(value(|pass, x| {
        let dims = lengths(&x.integers(1)?.values)?;
        match x.get(0)? {
            Value::Float(x) => Ok(pass.expand(x, &dims)?.into()),
            Value::Integers(x) => {
                numel(&dims)?;
                let ones = Integers::build(dims, |_| Ok(1))?;
                Ok(super::integers::binary(x, &ones, i64::checked_mul)?.into())
            }
        }
    }))
}

/// Axis `i` of the result is axis `order[i]`.
fn permuted(x: &Integers, order: &[usize]) -> Made<Integers> {
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..x.dims.len()) {
        return Err(format!("the order {order:?} for an input {:?}\n  rule: each axis once", x.dims));
    }
    let strides: Vec<usize> = (0..order.len()).map(|axis| x.dims[axis + 1..].iter().product()).collect();
    let dims: Vec<usize> = order.iter().map(|&axis| x.dims[axis]).collect();
    Integers::build(dims.clone(), |place| {
        let (mut rest, mut from) = (place, 0);
        for (&len, &axis) in dims.iter().zip(order).rev() {
            from += rest % len * strides[axis];
            rest /= len;
        }
        Ok(x.values[from])
    })
}
