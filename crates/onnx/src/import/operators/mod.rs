//! The operators that are imported. Each is compiled once, which reads its attributes, to a function of its inputs.

#![expect(clippy::unnecessary_wraps, reason = "the functions that compile operators are of one type")]

mod constants;
mod elementwise;
mod images;
mod integers;
mod matrix;
mod places;
mod reduce;
mod resize;
mod shapes;
mod window;

use super::attributes::Attributes;
use super::pass::{Made, Pass};
use super::patterns::Activation;
use super::value::{Float, Operands, Value};
use crate::proto::NodeProto;

/// The oldest and the newest version of the operators that are imported.
pub(super) const OPSETS: std::ops::RangeInclusive<i64> = 7..=28;

/// A node that is ready to run.
pub(super) type Run = Box<dyn Fn(&Pass, &Operands) -> Made<Vec<Value>> + Send + Sync>;

/// An operator: its name, the most inputs that are read, and what reads its attributes in a version of the operators.
pub(super) struct Operator {
    name: &'static str,
    most_inputs: usize,
    compile: fn(&Attributes, i64) -> Made<Run>,
}

/// As many inputs or outputs as a node has.
const ANY: usize = usize::MAX;

const fn operator(name: &'static str, most_inputs: usize, compile: fn(&Attributes, i64) -> Made<Run>) -> Operator {
    Operator { name, most_inputs, compile }
}

/// The operators that are imported, in the order of the alphabet.
pub(super) const OPERATORS: &[Operator] = &[
    operator("Abs", 1, elementwise::abs),
    operator("Acos", 1, elementwise::acos),
    operator("Add", 2, elementwise::add),
    operator("Asin", 1, elementwise::asin),
    operator("Atan", 1, elementwise::atan),
    operator("AveragePool", 1, images::average_pool),
    operator("BatchNormalization", 5, images::batch_normalization),
    operator("Cast", 1, constants::cast),
    operator("Ceil", 1, elementwise::ceil),
    operator("Celu", 1, elementwise::celu),
    operator("Clip", 3, elementwise::clip),
    operator("Concat", ANY, shapes::concat),
    operator("Constant", 0, constants::constant),
    operator("ConstantOfShape", 1, constants::constant_of_shape),
    operator("Conv", 3, images::conv),
    operator("ConvTranspose", 3, images::conv_transpose),
    operator("Cos", 1, elementwise::cos),
    operator("Cosh", 1, elementwise::cosh),
    operator("DepthToSpace", 1, images::depth_to_space),
    operator("Div", 2, elementwise::div),
    operator("Dropout", 3, constants::dropout),
    operator("Elu", 1, elementwise::elu),
    operator("Equal", 2, integers::equal),
    operator("Erf", 1, elementwise::erf),
    operator("Exp", 1, elementwise::exp),
    operator("Expand", 2, shapes::expand),
    operator("Flatten", 1, shapes::flatten),
    operator("Floor", 1, elementwise::floor),
    operator("Gather", 2, places::gather),
    operator("GatherElements", 2, places::gather_elements),
    operator("Gelu", 1, elementwise::gelu),
    operator("Gemm", 3, matrix::gemm),
    operator("GlobalAveragePool", 1, images::global_average_pool),
    operator("GlobalMaxPool", 1, images::global_max_pool),
    operator("HardSigmoid", 1, elementwise::hard_sigmoid),
    operator("HardSwish", 1, elementwise::hard_swish),
    operator("Identity", 1, constants::identity),
    operator("InstanceNormalization", 3, images::instance_normalization),
    operator("LRN", 1, images::local_response_normalization),
    operator("LayerNormalization", 3, matrix::layer_normalization),
    operator("LeakyRelu", 1, elementwise::leaky_relu),
    operator("Log", 1, elementwise::log),
    operator("LogSoftmax", 1, matrix::log_softmax),
    operator("MatMul", 2, matrix::matmul),
    operator("Max", ANY, elementwise::max),
    operator("MaxPool", 1, images::max_pool),
    operator("Mean", ANY, elementwise::mean),
    operator("Min", ANY, elementwise::min),
    operator("Mish", 1, elementwise::mish),
    operator("Mul", 2, elementwise::mul),
    operator("Neg", 1, elementwise::neg),
    operator("PRelu", 2, elementwise::p_relu),
    operator("Pad", 4, places::pad),
    operator("Pow", 2, elementwise::pow),
    operator("Reciprocal", 1, elementwise::reciprocal),
    operator("ReduceL1", 2, reduce::l1),
    operator("ReduceL2", 2, reduce::l2),
    operator("ReduceLogSum", 2, reduce::log_sum),
    operator("ReduceLogSumExp", 2, reduce::log_sum_exp),
    operator("ReduceMax", 2, reduce::max),
    operator("ReduceMean", 2, reduce::mean),
    operator("ReduceMin", 2, reduce::min),
    operator("ReduceSum", 2, reduce::sum),
    operator("ReduceSumSquare", 2, reduce::sum_square),
    operator("Relu", 1, elementwise::relu),
    operator("Reshape", 2, shapes::reshape),
    operator("Resize", 4, resize::resize),
    operator("Round", 1, elementwise::round),
    operator("Selu", 1, elementwise::selu),
    operator("Shape", 1, constants::shape),
    operator("Sigmoid", 1, elementwise::sigmoid),
    operator("Sign", 1, elementwise::sign),
    operator("Sin", 1, elementwise::sin),
    operator("Sinh", 1, elementwise::sinh),
    operator("Size", 1, constants::size),
    operator("Slice", 5, places::slice),
    operator("Softmax", 1, matrix::softmax),
    operator("Softplus", 1, elementwise::softplus),
    operator("Softsign", 1, elementwise::softsign),
    operator("SpaceToDepth", 1, images::space_to_depth),
    operator("Split", 2, places::split),
    operator("Sqrt", 1, elementwise::sqrt),
    operator("Squeeze", 2, shapes::squeeze),
    operator("Sub", 2, elementwise::sub),
    operator("Sum", ANY, elementwise::sum),
    operator("Swish", 1, elementwise::swish),
    operator("Tan", 1, elementwise::tan),
    operator("Tanh", 1, elementwise::tanh),
    operator("Transpose", 1, shapes::transpose),
    operator("Unsqueeze", 2, shapes::unsqueeze),
    operator("Upsample", 2, resize::upsample),
    operator("Where", 3, elementwise::select),
];

/// Operators whose results after the first are also produced.
const SEVERAL_OUTPUTS: &[&str] = &["LayerNormalization", "Split"];

/// The names of the operators that are imported.
pub const IMPORTED: &[&str] = &{
    let mut names = [""; OPERATORS.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = OPERATORS[i].name;
        i += 1;
    }
    names
};

/// Prepares a node, in a version of the operators; `is_read` tells whether a value is read.
///
/// # Errors
/// If the operator or one of its attributes is not supported; the text has its name.
pub(super) fn compile(node: &NodeProto, opset: i64, is_read: impl Fn(&str) -> bool) -> Made<Run> {
    if !matches!(node.domain(), "" | "ai.onnx") {
        return Err(format!("operators of the domain '{}' are not supported", node.domain().escape_debug()));
    }
    let found = OPERATORS.iter().find(|operator| operator.name == node.op_type());
    let operator = found.ok_or("the operator is not supported\n  rule: docs/onnx.md lists those that are")?;
    if node.input.len() > operator.most_inputs {
        return Err(format!(
            "it has {} inputs\n  rule: at most {} are supported",
            node.input.len(),
            operator.most_inputs
        ));
    }
    let extra = node.output.iter().skip(1).position(|output| is_read(output));
    if let Some(extra) = extra.filter(|_| !SEVERAL_OUTPUTS.contains(&operator.name)) {
        return Err(format!("output {} is used\n  rule: only the first output is supported", extra + 1));
    }
    let attributes = Attributes::of(node);
    let run = (operator.compile)(&attributes, opset)?;
    attributes.finish()?;
    Ok(run)
}

/// The run of an activation function that the file composes of several nodes; its argument is the only input.
pub(super) fn activation(function: Activation) -> Run {
    single(move |pass, x| {
        pass.unary(x.float(0)?, |x| match function {
            Activation::Gelu => x.gelu(),
            Activation::GeluTanh => x.gelu_tanh(),
            Activation::Swish(beta) => x.swish(beta),
            Activation::Mish => x.mish(),
            Activation::Softplus => x.softplus(),
        })
    })
}

/// The inputs of a node that are settings: not weights, even if they are initializers.
pub(super) fn settings(operator: &str) -> &'static [usize] {
    match operator {
        "BatchNormalization" => &[3, 4],
        "Clip" | "Dropout" => &[1, 2],
        "Pad" | "Resize" => &[1, 2, 3],
        "Pow" | "Upsample" => &[1],
        "ConstantOfShape" | "Shape" | "Size" => &[0],
        _ => &[],
    }
}

/// A node with one result, of floats.
fn single(run: impl Fn(&Pass, &Operands) -> Made<Float> + Send + Sync + 'static) -> Run {
    value(move |pass, x| Ok(run(pass, x)?.into()))
}

/// A node with one result.
fn value(run: impl Fn(&Pass, &Operands) -> Made<Value> + Send + Sync + 'static) -> Run {
    Box::new(move |pass, x| Ok(vec![run(pass, x)?]))
}
