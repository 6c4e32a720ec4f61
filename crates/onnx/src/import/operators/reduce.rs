//! Reductions along axes.

use chainrule_autograd::Var;

use super::{Run, value};
use crate::import::attributes::Attributes;
use crate::import::pass::{Made, axes};
use crate::import::value::{Operands, Value};

/// Which axes: an attribute in older versions, an input in newer ones.
pub(super) struct Axes {
    attribute: Option<Vec<i64>>,
    is_input: bool,
}

impl Axes {
    /// `since` is the version from which on they are an input.
    pub(super) fn of(attributes: &Attributes, opset: i64, since: i64) -> Made<Self> {
        let is_input = opset >= since;
        Ok(Self { attribute: if is_input { None } else { attributes.integers("axes")? }, is_input })
    }

    pub(super) fn get(&self, x: &Operands) -> Made<Option<Vec<i64>>> {
        match (self.is_input, x.optional_integers(1)?) {
            (true, axes) => Ok(axes.map(|axes| axes.values.clone())),
            (false, None) => Ok(self.attribute.clone()),
            (false, Some(_)) => Err("it has 2 inputs\n  rule: in this version the axes are an attribute".into()),
        }
    }
}

type Reduction = fn(&Var, &[isize], bool) -> Var;

fn reduction(attributes: &Attributes, opset: i64, since: i64, f: Reduction) -> Made<Run> {
    let kept = Axes::of(attributes, opset, since)?;
    let keep = attributes.flag("keepdims", true)?;
    let none_is_noop = if opset >= since { attributes.flag("noop_with_empty_axes", false)? } else { false };
    Ok(value(move |pass, x| {
        let numbers = kept.get(x)?.filter(|axes| !axes.is_empty());
        if let Value::Integers(_) = x.get(0)? {
            return Err("input 0 has integers\n  rule: this operator is supported for floats".into());
        }
        let x = x.float(0)?;
        let all = || (0..x.rank()).collect();
        let axes = match numbers {
            Some(numbers) => axes(&numbers, x.rank())?,
            None if none_is_noop => Vec::new(),
            None => all(),
        };
        // Without axes an element is still transformed, such as squared.
        if axes.is_empty() {
            let dims = [&x.shape[..], &[1]].concat();
            let column = pass.reshape(x, &dims)?;
            return Ok(pass.reduce(&column, &[x.rank()], false, f)?.into());
        }
        Ok(pass.reduce(x, &axes, keep, f)?.into())
    }))
}

macro_rules! reductions {
    ($($name:ident since $since:literal: $f:expr;)+) => {
        $(pub(super) fn $name(attributes: &Attributes, opset: i64) -> Made<Run> {
            reduction(attributes, opset, $since, $f)
        })+
    };
}

reductions! {
    l1 since 18: |x, axes, keep| x.abs().sum_axes(axes, keep);
    l2 since 18: |x, axes, keep| x.square().sum_axes(axes, keep).sqrt();
    log_sum since 18: |x, axes, keep| x.sum_axes(axes, keep).log();
    log_sum_exp since 18: log_sum_of_exponentials;
    max since 18: |x, axes, keep| x.max_axes(axes, keep);
    mean since 18: |x, axes, keep| x.mean_axes(axes, keep);
    min since 18: |x, axes, keep| x.min_axes(axes, keep);
    sum since 13: |x, axes, keep| x.sum_axes(axes, keep);
    sum_square since 18: |x, axes, keep| x.square().sum_axes(axes, keep);
}

/// Without overflow: the maximum is taken out.
fn log_sum_of_exponentials(x: &Var, axes: &[isize], keep: bool) -> Var {
    let max = x.max_axes(axes, true).detach();
    let sum = (x - &max).exp().sum_axes(axes, true).log() + max;
    // A sum over axes of length 1 removes them.
    if keep { sum } else { sum.sum_axes(axes, false) }
}
