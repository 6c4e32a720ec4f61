//! Elementwise functions, with broadcasting.

use chainrule_autograd::Var;
use chainrule_tensor::TensorOf;

use super::{Run, integers, single, value};
use crate::import::attributes::Attributes;
use crate::import::pass::{Made, Pass};
use crate::import::value::{Float, Operands, Value};

/// Functions without attributes.
macro_rules! functions {
    ($($name:ident: |$x:ident| $y:expr;)+) => {
        $(pub(super) fn $name(_: &Attributes, _: i64) -> Made<Run> {
            Ok(single(|pass, x| pass.unary(x.float(0)?, |$x: &Var| $y)))
        })+
    };
}

functions! {
    abs: |x| x.abs();
    acos: |x| x.acos();
    asin: |x| x.asin();
    atan: |x| x.atan();
    ceil: |x| x.ceil();
    cos: |x| x.cos();
    cosh: |x| x.cosh();
    erf: |x| x.erf();
    exp: |x| x.exp();
    floor: |x| x.floor();
    hard_swish: |x| x.hardswish();
    log: |x| x.log();
    mish: |x| x.mish();
    reciprocal: |x| x.reciprocal();
    relu: |x| x.relu();
    round: |x| x.round();
    sigmoid: |x| x.sigmoid();
    sign: |x| x.sign();
    sin: |x| x.sin();
    sinh: |x| x.sinh();
    softplus: |x| x.softplus();
    softsign: |x| x.softsign();
    sqrt: |x| x.sqrt();
    tan: |x| x.tan();
    tanh: |x| x.tanh();
}

pub(super) fn neg(_: &Attributes, _: i64) -> Made<Run> {
    Ok(value(|pass, x| match x.get(0)? {
        Value::Float(x) => Ok(pass.unary(x, |x| -x)?.into()),
        Value::Integers(x) => Ok(x.map(i64::checked_neg)?.into()),
    }))
}

pub(super) fn leaky_relu(attributes: &Attributes, _: i64) -> Made<Run> {
    let alpha = attributes.number("alpha", 0.01)?;
    Ok(single(move |pass, x| pass.unary(x.float(0)?, |x| x.leaky_relu(alpha))))
}

pub(super) fn elu(attributes: &Attributes, _: i64) -> Made<Run> {
    let alpha = attributes.number("alpha", 1.0)?;
    Ok(single(move |pass, x| pass.unary(x.float(0)?, |x| x.elu(alpha))))
}

/// `x` where x > 0, else `α(e^(x/α) − 1)`.
pub(super) fn celu(attributes: &Attributes, _: i64) -> Made<Run> {
    let alpha = attributes.number("alpha", 1.0)?;
    if alpha == 0.0 {
        return Err("attribute 'alpha' is 0\n  rule: it is a divisor".into());
    }
    Ok(single(move |pass, x| {
        pass.unary(x.float(0)?, |x| {
            if alpha > 0.0 { x.celu(alpha) } else { x.relu() - alpha * (-(x / alpha).elu(1.0)).relu() }
        })
    }))
}

/// `γ·x` where x > 0, else `γα(e^x − 1)` (Klambauer and others: "Self-normalizing neural networks", 2017).
pub(super) fn selu(attributes: &Attributes, _: i64) -> Made<Run> {
    let alpha = attributes.number("alpha", 1.673_263_2)?;
    let gamma = attributes.number("gamma", 1.050_701)?;
    // The constants of the paper, rounded to f32.
    let usual = (alpha as f32, gamma as f32) == (1.673_263_2, 1.050_701);
    Ok(single(move |pass, x| pass.unary(x.float(0)?, |x| if usual { x.selu() } else { gamma * x.elu(alpha) })))
}

pub(super) fn gelu(attributes: &Attributes, _: i64) -> Made<Run> {
    let exact = attributes.only_text("approximate", &["none", "tanh"])? == "none";
    Ok(single(move |pass, x| pass.unary(x.float(0)?, |x| if exact { x.gelu() } else { x.gelu_tanh() })))
}

pub(super) fn swish(attributes: &Attributes, _: i64) -> Made<Run> {
    let alpha = attributes.number("alpha", 1.0)?;
    Ok(single(move |pass, x| pass.unary(x.float(0)?, |x| x.swish(alpha))))
}

pub(super) fn hard_sigmoid(attributes: &Attributes, _: i64) -> Made<Run> {
    let (alpha, beta) = (attributes.number("alpha", 0.2)?, attributes.number("beta", 0.5)?);
    let sixth = (alpha as f32, beta) == (1.0 / 6.0, 0.5);
    Ok(single(move |pass, x| {
        pass.unary(x.float(0)?, |x| if sixth { x.hardsigmoid() } else { (alpha * x + beta).clamp(0.0, 1.0) })
    }))
}

/// `x` where x > 0, else `slope·x`, the slope broadcast to x.
pub(super) fn p_relu(_: &Attributes, _: i64) -> Made<Run> {
    Ok(single(|pass, x| {
        let (x, slope) = (x.float(0)?, x.float(1)?);
        let y = pass.binary("PRelu", x, slope, |x, slope| x.relu() - slope * (-x).relu())?;
        if y.shape == x.shape {
            Ok(y)
        } else {
            Err(format!(
                "a slope of shape {} for an input {}\n  rule: it is broadcast to the input",
                slope.shape, x.shape
            ))
        }
    }))
}

/// A binary operator on floats, where a scalar constant is a number, or on integers.
macro_rules! arithmetic {
    ($($name:ident: |$a:ident, $b:ident| $y:expr, $integers:expr;)+) => {
        $(pub(super) fn $name(_: &Attributes, _: i64) -> Made<Run> {
                Ok(value(|pass, x| match (x.get(0)?, x.get(1)?) {
                (Value::Integers(a), Value::Integers(b)) => Ok(integers::binary(a, b, $integers)?.into()),
                _ => {
                    let (left, right) = (x.float(0)?, x.float(1)?);
                    let y = match (left.number(), right.number()) {
                        (_, Some($b)) if right.rank() <= left.rank() => pass.unary(left, |$a| $y),
                        (Some($a), _) if left.rank() <= right.rank() => pass.unary(right, |$b| $y),
                        _ => pass.binary(stringify!($name), left, right, |$a, $b| $y),
                    };
                    Ok(y?.into())
                }
            }))
        })+
    };
}

arithmetic! {
    add: |a, b| a + b, i64::checked_add;
    sub: |a, b| a - b, i64::checked_sub;
    mul: |a, b| a * b, i64::checked_mul;
    div: |a, b| a / b, i64::checked_div;
}

/// A power; of a constant number, the function of one argument.
pub(super) fn pow(_: &Attributes, _: i64) -> Made<Run> {
    Ok(single(|pass, x| {
        let base = x.float(0)?;
        let exponent = match x.get(1)? {
            Value::Float(p) => p.number().filter(|_| p.rank() <= base.rank()),
            Value::Integers(p) => (p.values.len() == 1 && p.dims.len() <= base.rank()).then(|| p.values[0] as f64),
        };
        match exponent {
            Some(exponent) => pass.unary(base, |x| x.pow(exponent)),
            None => pass.binary("Pow", base, x.float(1)?, |base, exponent| base.power(exponent)),
        }
    }))
}

pub(super) fn clip(attributes: &Attributes, opset: i64) -> Made<Run> {
    let old = if opset < 11 {
        [attributes.number("min", f32::MIN)?, attributes.number("max", f32::MAX)?]
    } else {
        [f64::NEG_INFINITY, f64::INFINITY]
    };
    Ok(single(move |pass, x| {
        let bound = |i: usize, default: f64| -> Made<f64> {
            match x.optional_float(i)? {
                None => Ok(default),
                Some(bound) => match bound.setting("a bound")?.as_slice() {
                    [bound] => Ok((*bound).into()),
                    _ => Err("a bound has several elements\n  rule: it is a single number".into()),
                },
            }
        };
        let (low, high) = (bound(1, old[0])?, bound(2, old[1])?);
        if low.is_nan() || high.is_nan() {
            return Err("a bound is NaN".into());
        }
        // If the bounds cross, the upper one wins.
        pass.unary(x.float(0)?, |x| x.clamp(low.min(high), high))
    }))
}

/// Folds any number of inputs from the left.
fn fold(name: &'static str, f: fn(&Var, &Var) -> Var) -> impl Fn(&Pass, &Operands) -> Made<Float> {
    move |pass, x| {
        let first = x.float(0)?.clone();
        (1..x.len()).try_fold(first, |sum, i| pass.binary(name, &sum, x.float(i)?, f))
    }
}

pub(super) fn max(_: &Attributes, _: i64) -> Made<Run> {
    Ok(extreme("Max", Var::maximum, |a, b| Some(a.max(b))))
}

pub(super) fn min(_: &Attributes, _: i64) -> Made<Run> {
    Ok(extreme("Min", Var::minimum, |a, b| Some(a.min(b))))
}

/// The larger or smaller of any number of inputs, of floats or of integers.
fn extreme(name: &'static str, f: fn(&Var, &Var) -> Var, integers: fn(i64, i64) -> Option<i64>) -> Run {
    let floats = fold(name, f);
    value(move |pass, x| match x.get(0)? {
        Value::Float(_) => Ok(floats(pass, x)?.into()),
        Value::Integers(first) => {
            let all = (1..x.len()).try_fold(first.clone(), |y, i| integers::binary(&y, x.integers(i)?, integers));
            Ok(all?.into())
        }
    })
}

pub(super) fn sum(_: &Attributes, _: i64) -> Made<Run> {
    Ok(single(fold("Sum", |a, b| a + b)))
}

pub(super) fn mean(_: &Attributes, _: i64) -> Made<Run> {
    let sum = fold("Mean", |a, b| a + b);
    Ok(single(move |pass, x| {
        let count = x.len() as f64;
        pass.unary(&sum(pass, x)?, |sum| sum / count)
    }))
}

/// The second input where the first is true, else the third.
pub(super) fn select(_: &Attributes, _: i64) -> Made<Run> {
    Ok(value(|pass, x| {
        let mask = x.integers(0)?;
        if let (Value::Integers(a), Value::Integers(b)) = (x.get(1)?, x.get(2)?) {
            return Ok(integers::select(mask, a, b)?.into());
        }
        let (a, b) = (x.float(1)?, x.float(2)?);
        let bytes: Vec<u8> = mask.values.iter().map(|&x| u8::from(x != 0)).collect();
        let mask = TensorOf::from_slice(&bytes, crate::import::pass::shape(&mask.dims)?);
        Ok(pass.select(&mask, a, b)?.into())
    }))
}
