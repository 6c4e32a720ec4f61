//! What each operation becomes in ONNX.

mod elementwise;
mod images;
mod shapes;

use chainrule_autograd::Var;

use super::builder::Step;
use super::graph::{Graph, integer, number};
use crate::proto::AttributeProto;

/// The operations that are exported, with the operators that they become.
pub const EXPORTED: &[(&str, &str)] = &[
    ("abs", "Abs"),
    ("acos", "Acos"),
    ("add", "Add"),
    ("add number", "Add"),
    ("asin", "Asin"),
    ("atan", "Atan"),
    ("avg_pool2d", "AveragePool, GlobalAveragePool"),
    ("batch_norm at inference", "BatchNormalization"),
    ("broadcast_to", "Expand"),
    ("ceil", "Ceil"),
    ("channel_sum", "ReduceSum"),
    ("clamp", "Clip"),
    ("concat", "Concat"),
    ("conv2d", "Conv"),
    ("conv2d input gradient", "ConvTranspose"),
    ("conv2d_relu_max_pool2d", "Conv, Relu, MaxPool"),
    ("cos", "Cos"),
    ("cosh", "Cosh"),
    ("div", "Div, Softsign"),
    ("divide by number", "Div, ReduceMean, HardSigmoid"),
    ("divide number by", "Div, Reciprocal"),
    ("elu", "Elu"),
    ("erf", "Erf"),
    ("exp", "Exp, Softmax"),
    ("floor", "Floor"),
    ("gather", "GatherElements"),
    ("gelu", "Div, Erf, Add, Mul"),
    ("gelu_tanh", "Mul, Add, Tanh"),
    ("leaky_relu", "LeakyRelu"),
    ("linear", "Gemm"),
    ("log", "Log"),
    ("log_softmax", "LogSoftmax"),
    ("matmul", "MatMul"),
    ("max", "ReduceMax"),
    ("max_pool2d", "MaxPool, GlobalMaxPool"),
    ("maximum", "Max"),
    ("min", "ReduceMin"),
    ("minimum", "Min"),
    ("mish", "Softplus, Tanh, Mul"),
    ("mul", "Mul, HardSwish"),
    ("multiply by number", "Mul, Neg, Selu, Celu"),
    ("pad", "Pad"),
    ("permute", "Transpose"),
    ("pow", "Pow"),
    ("power", "Pow"),
    ("relu", "Relu"),
    ("relu_max_pool2d", "Relu, MaxPool"),
    ("reshape", "Reshape, Flatten"),
    ("round", "Round"),
    ("select", "Where"),
    ("sigmoid", "Sigmoid"),
    ("sign", "Sign"),
    ("sin", "Sin"),
    ("sinh", "Sinh"),
    ("slice", "Slice"),
    ("softplus", "Softplus"),
    ("sqrt", "Sqrt"),
    ("square", "Mul"),
    ("sub", "Sub"),
    ("subtract from number", "Sub"),
    ("sum_to", "ReduceSum"),
    ("swish", "Sigmoid, Mul"),
    ("tan", "Tan"),
    ("tanh", "Tanh"),
    ("transpose", "Transpose"),
    ("upsample2d", "Resize"),
];

/// What an operation is emitted from. Several operations of one scope may become one operator.
pub(super) struct Emission<'a> {
    pub(super) operands: Vec<&'a Var>,
    form: Form<'a>,
}

enum Form<'a> {
    /// The operation by itself.
    Single,
    /// The exponential of a `log_softmax`.
    Softmax(Step<'a>),
    /// A sum that is divided by the number of its terms.
    Mean(Step<'a>),
    /// An activation function of several operations.
    Activation(&'static str, Vec<AttributeProto>),
    /// A transposed convolution to which a bias is added.
    ConvTranspose(Step<'a>),
}

pub(super) fn emission<'a>(step: &Step<'a>) -> Emission<'a> {
    let parents = || (0..step.op.parents()).map(|i| step.op.parent(i)).collect();
    composed(step).unwrap_or_else(|| Emission { operands: parents(), form: Form::Single })
}

/// The operator of a composed op whose last operation this is.
fn composed<'a>(step: &Step<'a>) -> Option<Emission<'a>> {
    let scope = step.op.scope()?;
    let in_scope = |part: &Step<'a>| part.op.scope() == Some(scope);
    match (scope.name(), step.name()) {
        ("softmax", "exp") => {
            let inner = step.producer(0).filter(|inner| inner.name() == "log_softmax" && in_scope(inner))?;
            Some(Emission { operands: vec![inner.op.parent(0)], form: Form::Softmax(inner) })
        }
        ("mean", "divide by number") => {
            let direct = step.producer(0).filter(in_scope)?;
            let sum = if direct.name() == "reshape" { direct.producer(0).filter(in_scope)? } else { direct };
            let found = sum.name() == "sum_to";
            found.then(|| Emission { operands: vec![sum.op.parent(0)], form: Form::Mean(sum) })
        }
        ("conv_transpose2d", "add") => {
            let conv = step.producer(0).filter(|conv| conv.name() == "conv2d input gradient" && in_scope(conv))?;
            let bias = step.op.parent(1).operation().filter(|op| op.rule().name() == "reshape")?.parent(0);
            Some(Emission {
                operands: vec![conv.op.parent(0), conv.op.parent(1), bias],
                form: Form::ConvTranspose(conv),
            })
        }
        (function, _) => activation(function, step),
    }
}

/// An operation and the names of its numbers.
type Part = (&'static str, &'static [&'static str]);

/// The parts of relu6(x + 3), from the last one back.
const SHIFTED_RELU6: [Part; 2] = [("clamp", &["lo", "hi"]), ("add number", &["s"])];

/// The operator of an activation function that is composed of several operations, of which this is the last. A scope of the user
/// may have the same name: the numbers decide.
fn activation<'a>(function: &str, step: &Step<'a>) -> Option<Emission<'a>> {
    let scope = step.op.scope()?;
    // The argument of the parts that compute an operand, from the last one back, and their numbers.
    let parts = |operand: usize, parts: &[Part]| {
        let (mut next, mut argument, mut numbers) = (step.producer(operand), None, Vec::new());
        for (name, of_part) in parts {
            let part = next.filter(|part| part.name() == *name && part.op.scope() == Some(scope))?;
            for number in *of_part {
                numbers.push(part.number(number).ok()?);
            }
            argument = Some(part.op.parent(0));
            next = part.producer(0);
        }
        Some((argument?, numbers))
    };
    let found = |argument, operator, attributes| {
        Some(Emission { operands: vec![argument], form: Form::Activation(operator, attributes) })
    };
    let last = |name: &str| step.number(name).ok();
    match (function, step.name()) {
        ("selu", "multiply by number") => {
            let (argument, numbers) = parts(0, &[("elu", &["alpha"])])?;
            found(argument, "Selu", vec![number("alpha", numbers[0]), number("gamma", last("s")?)])
        }
        ("celu", "multiply by number") => {
            let (argument, numbers) = parts(0, &[("elu", &["alpha"]), ("divide by number", &["s"])])?;
            // With another sign it is another function.
            let alpha = last("s").filter(|&alpha| alpha > 0.0 && numbers == [1.0, alpha])?;
            found(argument, "Celu", vec![number("alpha", alpha)])
        }
        ("hardsigmoid", "divide by number") => {
            let (argument, numbers) = parts(0, &SHIFTED_RELU6)?;
            let is_it = numbers == [0.0, 6.0, 3.0] && last("s") == Some(6.0);
            is_it.then(|| found(argument, "HardSigmoid", vec![number("alpha", 1.0 / 6.0), number("beta", 0.5)]))?
        }
        ("hardswish", "mul") => {
            let (argument, numbers) = parts(1, &[&[("divide by number", &["s"][..])], &SHIFTED_RELU6[..]].concat())?;
            let is_it = numbers == [6.0, 0.0, 6.0, 3.0] && step.op.parent(0).id() == argument.id();
            is_it.then(|| found(argument, "HardSwish", Vec::new()))?
        }
        ("softsign", "div") => {
            let (argument, numbers) = parts(1, &[("add number", &["s"]), ("abs", &[])])?;
            let is_it = numbers == [1.0] && step.op.parent(0).id() == argument.id();
            is_it.then(|| found(argument, "Softsign", Vec::new()))?
        }
        _ => None,
    }
}

/// Adds the nodes of an operation, and returns the name of its value.
///
/// # Errors
/// If it has no counterpart in ONNX; the text says what to do.
pub(super) fn emit(step: &Step, emission: &Emission, operands: &[String], graph: &mut Graph) -> Result<String, String> {
    let x: Vec<&str> = operands.iter().map(String::as_str).collect();
    match &emission.form {
        Form::Softmax(inner) => {
            return Ok(graph.last("Softmax", &x, vec![integer("axis", inner.axis("axis")? as i64)]));
        }
        Form::Activation(operator, attributes) => return Ok(graph.last(operator, &x, attributes.clone())),
        Form::Mean(sum) => return shapes::reduce(graph, "ReduceMean", x[0], sum, &step.output()?),
        Form::ConvTranspose(conv) => return images::conv_transpose(conv, &x, graph),
        Form::Single => {}
    }
    if let Some(operator) = elementwise::same(step.name()) {
        return Ok(graph.last(operator, &x, Vec::new()));
    }
    match step.name() {
        "linear" => Ok(graph.last("Gemm", &x, vec![integer("transB", 1)])),
        "log_softmax" => Ok(graph.last("LogSoftmax", &x, vec![integer("axis", step.axis("axis")? as i64)])),
        "leaky_relu" => Ok(graph.last("LeakyRelu", &x, vec![number("alpha", step.number("slope")?)])),
        "elu" => Ok(graph.last("Elu", &x, vec![number("alpha", step.number("alpha")?)])),
        "swish" | "mish" | "gelu" | "gelu_tanh" | "square" | "pow" | "clamp" | "add number" | "subtract from number"
        | "multiply by number" | "divide by number" | "divide number by" | "select" => elementwise::emit(step, &x, graph),
        "conv2d" | "conv2d input gradient" | "conv2d_relu_max_pool2d" | "max_pool2d" | "relu_max_pool2d" | "avg_pool2d"
        | "upsample2d" | "batch_norm at inference" => images::emit(step, &x, graph),
        "reshape" | "permute" | "transpose" | "slice" | "broadcast_to" | "sum_to" | "channel_sum" | "max" | "min"
        | "concat" | "pad" | "gather" => shapes::emit(step, &x, graph),
        "batch_norm" => Err("it uses the statistics of the batch\n  rule: batch normalization is exported at inference, after eval()".into()),
        "dropout" => Err("it draws random numbers\n  rule: dropout is exported at inference, after eval(), where it is the identity".into()),
        _ => Err("ONNX has no such operator\n  rule: docs/onnx.md lists the operations that are exported; compute this one after the net".into()),
    }
}
