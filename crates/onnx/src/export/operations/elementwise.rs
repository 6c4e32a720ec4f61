//! Elementwise functions.

use std::f64::consts::{FRAC_2_PI, SQRT_2};

use chainrule_autograd::Setting;

use crate::export::builder::Step;
use crate::export::graph::Graph;

/// The operator that is the same as an operation.
pub(super) fn same(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "abs" => "Abs",
        "acos" => "Acos",
        "add" => "Add",
        "asin" => "Asin",
        "atan" => "Atan",
        "ceil" => "Ceil",
        "cos" => "Cos",
        "cosh" => "Cosh",
        "div" => "Div",
        "erf" => "Erf",
        "exp" => "Exp",
        "floor" => "Floor",
        "log" => "Log",
        "matmul" => "MatMul",
        "maximum" => "Max",
        "minimum" => "Min",
        "mul" => "Mul",
        "power" => "Pow",
        "relu" => "Relu",
        "round" => "Round",
        "sigmoid" => "Sigmoid",
        "sign" => "Sign",
        "sin" => "Sin",
        "sinh" => "Sinh",
        "softplus" => "Softplus",
        "sqrt" => "Sqrt",
        "sub" => "Sub",
        "tan" => "Tan",
        "tanh" => "Tanh",
        _ => return None,
    })
}

/// Functions that have no operator in this opset are composed as PyTorch's exporter does, which runtimes recognize.
pub(super) fn emit(step: &Step, x: &[&str], graph: &mut Graph) -> Result<String, String> {
    let none = Vec::new;
    let one = x[0];
    Ok(match step.name() {
        "square" => graph.last("Mul", &[one, one], none()),
        "pow" => {
            let exponent = graph.scalar(step.number("p")?);
            graph.last("Pow", &[one, &exponent], none())
        }
        "clamp" => {
            let mut bound = |name: &str| -> Result<String, String> {
                let value = step.number(name)?;
                Ok(if value.is_infinite() { String::new() } else { graph.scalar(value) })
            };
            let (low, high) = (bound("lo")?, bound("hi")?);
            graph.last("Clip", &[one, &low, &high], none())
        }
        "add number" => {
            let s = graph.scalar(step.number("s")?);
            graph.last("Add", &[one, &s], none())
        }
        "subtract from number" => {
            let s = graph.scalar(step.number("s")?);
            graph.last("Sub", &[&s, one], none())
        }
        "multiply by number" => match step.number("s")? {
            -1.0 => graph.last("Neg", &[one], none()),
            s => {
                let s = graph.scalar(s);
                graph.last("Mul", &[one, &s], none())
            }
        },
        "divide by number" => {
            let s = graph.scalar(step.number("s")?);
            graph.last("Div", &[one, &s], none())
        }
        "divide number by" => match step.number("s")? {
            1.0 => graph.last("Reciprocal", &[one], none()),
            s => {
                let s = graph.scalar(s);
                graph.last("Div", &[&s, one], none())
            }
        },
        "swish" => {
            let scaled = match step.number("beta")? {
                1.0 => one.to_owned(),
                beta => {
                    let beta = graph.scalar(beta);
                    graph.node("Mul", &[one, &beta], none())
                }
            };
            let gate = graph.node("Sigmoid", &[&scaled], none());
            graph.last("Mul", &[one, &gate], none())
        }
        "mish" => {
            let softplus = graph.node("Softplus", &[one], none());
            let gate = graph.node("Tanh", &[&softplus], none());
            graph.last("Mul", &[one, &gate], none())
        }
        "gelu" => {
            let root = graph.scalar(SQRT_2 as f32);
            let scaled = graph.node("Div", &[one, &root], none());
            let erf = graph.node("Erf", &[&scaled], none());
            half_of_one_plus(one, &erf, graph)
        }
        // tanh(√(2/π)·(x + 0.044715x³))
        "gelu_tanh" => {
            let [three, cubic, root] = [3.0, 0.044_715, FRAC_2_PI.sqrt() as f32].map(|c| graph.scalar(c));
            let cube = graph.node("Pow", &[one, &three], none());
            let cube = graph.node("Mul", &[&cube, &cubic], none());
            let sum = graph.node("Add", &[one, &cube], none());
            let scaled = graph.node("Mul", &[&sum, &root], none());
            let tanh = graph.node("Tanh", &[&scaled], none());
            half_of_one_plus(one, &tanh, graph)
        }
        "select" => {
            let Setting::Mask(mask) = step.setting("mask")? else {
                return Err("its mask is no mask".into());
            };
            let mask = graph.mask(&mask);
            graph.last("Where", &[&mask, one, x[1]], none())
        }
        other => unreachable!("{other} is no elementwise function"),
    })
}

/// x·(1 + y)·½
fn half_of_one_plus(x: &str, y: &str, graph: &mut Graph) -> String {
    let [one, half] = [1.0, 0.5].map(|c| graph.scalar(c));
    let sum = graph.node("Add", &[y, &one], Vec::new());
    let product = graph.node("Mul", &[x, &sum], Vec::new());
    graph.last("Mul", &[&product, &half], Vec::new())
}
