//! Matrix products, and normalization along axes.

use chainrule_autograd::Var;

use super::{Run, single};
use crate::import::attributes::Attributes;
use crate::import::pass::{Made, Pass, axis};
use crate::import::value::Float;

/// `α·A·B + β·C`, A and B transposed or not. A linear layer is a single operation.
pub(super) fn gemm(attributes: &Attributes, _: i64) -> Made<Run> {
    let (alpha, beta) = (attributes.number("alpha", 1.0)?, attributes.number("beta", 1.0)?);
    let (turn_a, turn_b) = (attributes.flag("transA", false)?, attributes.flag("transB", false)?);
    Ok(single(move |pass, x| {
        let (a, b, c) = (x.float(0)?, x.float(1)?, x.optional_float(2)?);
        if a.rank() != 2 || b.rank() != 2 {
            return Err(format!("the inputs are {} and {}\n  rule: A and B are matrices", a.shape, b.shape));
        }
        let a = &if turn_a { pass.permute(a, &[1, 0])? } else { a.clone() };
        let plain = alpha == 1.0 && beta == 1.0;
        if plain && turn_b && c.is_none_or(|c| c.shape == [b.shape[0]]) {
            return pass.linear(a, b, c);
        }
        let b = &if turn_b { pass.permute(b, &[1, 0])? } else { b.clone() };
        let mut y = pass.matmul(a, b)?;
        if alpha != 1.0 {
            y = pass.unary(&y, |y| alpha * y)?;
        }
        let Some(c) = c else {
            return Ok(y);
        };
        let c = &if beta == 1.0 { c.clone() } else { pass.unary(c, |c| beta * c)? };
        let sum = pass.binary("Gemm", &y, c, |y, c| y + c)?;
        if sum.shape == y.shape {
            Ok(sum)
        } else {
            Err(format!("C has shape {}, A·B {}\n  rule: C is broadcast to A·B", c.shape, y.shape))
        }
    }))
}

/// The matrix product of NumPy: a vector is a row on the left and a column on the right.
pub(super) fn matmul(_: &Attributes, _: i64) -> Made<Run> {
    Ok(single(|pass, x| {
        let (a, b) = (x.float(0)?, x.float(1)?);
        if a.rank() == 0 || b.rank() == 0 {
            return Err(format!("the inputs are {} and {}\n  rule: no scalars", a.shape, b.shape));
        }
        let left = if a.rank() == 1 { &pass.reshape(a, &[1, a.shape[0]])? } else { a };
        let right = if b.rank() == 1 { &pass.reshape(b, &[b.shape[0], 1])? } else { b };
        let y = pass.matmul(left, right)?;
        if a.rank() > 1 && b.rank() > 1 {
            return Ok(y);
        }
        let mut dims = y.shape.to_vec();
        if b.rank() == 1 {
            dims.pop();
        }
        if a.rank() == 1 {
            dims.remove(dims.len() - 1 - usize::from(b.rank() > 1));
        }
        pass.reshape(&y, &dims)
    }))
}

/// Before opset 13 the input became a matrix at the axis, whose rows were normalized.
fn normalized(attributes: &Attributes, opset: i64, f: fn(&Var, isize) -> Var) -> Made<Run> {
    let number = attributes.integer("axis", if opset < 13 { 1 } else { -1 })?;
    Ok(single(move |pass, x| {
        let x = x.float(0)?;
        let at = if opset < 13 && number == x.rank() as i64 { x.rank() } else { axis(number, x.rank())? };
        if opset >= 13 || at + 1 == x.rank() {
            return pass.unary(x, |x| f(x, at as isize));
        }
        let (rows, columns) = x.shape.split_at(at);
        let matrix = pass.reshape(x, &[rows.iter().product(), columns.iter().product()])?;
        pass.reshape(&pass.unary(&matrix, |x| f(x, 1))?, &x.shape)
    }))
}

pub(super) fn softmax(attributes: &Attributes, opset: i64) -> Made<Run> {
    normalized(attributes, opset, Var::softmax)
}

pub(super) fn log_softmax(attributes: &Attributes, opset: i64) -> Made<Run> {
    normalized(attributes, opset, Var::log_softmax)
}

/// `(x − mean)/√(var + ε)` over axes, and the mean and 1/√(var + ε), with axes of length 1.
pub(super) fn standardized(pass: &Pass, x: &Float, axes: &[usize], eps: f64) -> Made<[Float; 3]> {
    let mean = pass.reduce(x, axes, true, |x, axes, keep| x.mean_axes(axes, keep))?;
    let variance = pass.reduce(x, axes, true, |x, axes, keep| x.var_axes(axes, 0, keep))?;
    let inverse = pass.unary(&variance, |variance| (variance + eps).sqrt().reciprocal())?;
    let centered = pass.binary("sub", x, &mean, |x, mean| x - mean)?;
    let normal = pass.binary("mul", &centered, &inverse, |x, inverse| x * inverse)?;
    Ok([normal, mean, inverse])
}

/// Also the mean and the inverse of the standard deviation, as the second and third output.
pub(super) fn layer_normalization(attributes: &Attributes, _: i64) -> Made<Run> {
    let (number, eps) = (attributes.integer("axis", -1)?, attributes.number("epsilon", 1e-5)?);
    attributes.only("stash_type", 1)?;
    Ok(Box::new(move |pass, x| {
        let (x, scale, shift) = (x.float(0)?, x.float(1)?, x.optional_float(2)?);
        let from = axis(number, x.rank())?;
        let [normal, mean, inverse] = standardized(pass, x, &(from..x.rank()).collect::<Vec<_>>(), eps)?;
        let mut y = pass.binary("LayerNormalization", &normal, scale, |x, scale| x * scale)?;
        if let Some(shift) = shift {
            y = pass.binary("LayerNormalization", &y, shift, |x, shift| x + shift)?;
        }
        if y.shape != x.shape {
            return Err(format!("scale or bias is larger than the input {}", x.shape));
        }
        Ok(vec![y.into(), mean.into(), inverse.into()])
    }))
}
