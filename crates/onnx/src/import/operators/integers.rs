//! Arithmetic on integers: shapes, axes and indices that a model computes.

use super::{Run, value};
use crate::import::attributes::Attributes;
use crate::import::pass::Made;
use crate::import::value::Integers;

/// The most elements of a tensor of integers that a model computes.
pub(super) const LARGEST: usize = 1 << 20;

impl Integers {
    /// A tensor of these axes, filled by a function of the place in row-major order.
    pub(super) fn build(dims: Vec<usize>, element: impl FnMut(usize) -> Made<i64>) -> Made<Self> {
        let values = (0..numel(&dims)?).map(element).collect::<Made<Vec<i64>>>()?;
        Ok(Self { dims, values })
    }

    pub(super) fn map(&self, f: impl Fn(i64) -> Option<i64>) -> Made<Self> {
        let values: Option<Vec<i64>> = self.values.iter().map(|&x| f(x)).collect();
        Ok(Self { dims: self.dims.clone(), values: values.ok_or("an integer is too large")? })
    }

    /// The only element.
    pub(super) fn single(&self, what: &str) -> Made<i64> {
        match self.values.as_slice() {
            [value] => Ok(*value),
            values => Err(format!("{what} has {} elements\n  rule: a single integer", values.len())),
        }
    }
}

/// The number of elements of a tensor of integers.
pub(super) fn numel(dims: &[usize]) -> Made<usize> {
    let numel = dims.iter().try_fold(1usize, |n, &len| n.checked_mul(len));
    numel
        .filter(|&n| n <= LARGEST)
        .ok_or_else(|| format!("integers of shape {dims:?}\n  rule: at most {LARGEST} integers"))
}

/// The shape of broadcast operands.
fn broadcast(a: &[usize], b: &[usize]) -> Made<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |axis| dims[axis]);
    let length = |axis| match (at(a, axis), at(b, axis)) {
        (x, y) if x == y || y == 1 => Ok(x),
        (1, y) => Ok(y),
        (x, y) => Err(format!("lengths {x} and {y} do not broadcast\n  a = {a:?}\n  b = {b:?}")),
    };
    (0..rank).map(length).collect()
}

/// The element that a broadcast tensor has at a place of the result.
fn read(x: &Integers, dims: &[usize], place: usize) -> i64 {
    let (mut rest, mut index, mut stride) = (place, 0, 1);
    for (i, &len) in dims.iter().enumerate().rev() {
        let at = rest % len;
        rest /= len;
        if let Some(axis) = (i + x.dims.len()).checked_sub(dims.len()) {
            if x.dims[axis] != 1 {
                index += at * stride;
            }
            stride *= x.dims[axis];
        }
    }
    x.values[index]
}

pub(super) fn binary(a: &Integers, b: &Integers, f: fn(i64, i64) -> Option<i64>) -> Made<Integers> {
    let dims = broadcast(&a.dims, &b.dims)?;
    Integers::build(dims.clone(), |place| {
        f(read(a, &dims, place), read(b, &dims, place))
            .ok_or_else(|| "an integer is too large, or a divisor is 0".to_owned())
    })
}

pub(super) fn select(mask: &Integers, a: &Integers, b: &Integers) -> Made<Integers> {
    let dims = broadcast(&mask.dims, &broadcast(&a.dims, &b.dims)?)?;
    let chosen =
        |place: usize| if read(mask, &dims, place) != 0 { read(a, &dims, place) } else { read(b, &dims, place) };
    Integers::build(dims.clone(), |place| Ok(chosen(place)))
}

pub(super) fn equal(_: &Attributes, _: i64) -> Made<Run> {
    Ok(value(|_, x| Ok(binary(x.integers(0)?, x.integers(1)?, |a, b| Some(i64::from(a == b)))?.into())))
}
