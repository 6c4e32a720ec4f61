//! A model's graph, checked and ready to run.

use std::collections::{BTreeMap, HashMap, HashSet};

use chainrule_autograd::Var;
use chainrule_nn::BufferOf;

use super::operators::{self, OPSETS, Run};
use super::patterns::Composition;
use super::tensors;
use super::value::{Float, Value};
use crate::error::OnnxError;
use crate::proto::tensor_proto::DataType;
use crate::proto::tensor_shape_proto::dimension;
use crate::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto, type_proto};

/// A stored value.
pub(super) enum Stored {
    /// What is learned.
    Parameter(Var),
    /// Statistics, which are saved but not learned.
    Buffer(BufferOf<f32>),
    /// A setting.
    Constant(Value),
}

/// A node that is ready to run. Values are counted from the first input on.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) operator: String,
    pub(super) inputs: Vec<Option<usize>>,
    /// `None` for an output that nothing reads.
    pub(super) outputs: Vec<Option<usize>>,
    pub(super) run: Run,
    /// The values that no later node reads.
    pub(super) last: Vec<usize>,
}

/// An input that a run has to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GraphInput {
    pub(super) name: String,
    pub(super) floats: bool,
    /// The lengths of the axes; `None` for those that the file leaves open.
    pub(super) dims: Option<Vec<Option<usize>>>,
}

pub(super) struct Graph {
    pub(super) inputs: Vec<GraphInput>,
    /// The stored values with their names, in the order of the file; their places follow those of the inputs.
    pub(super) stored: Vec<(String, Stored)>,
    pub(super) steps: Vec<Step>,
    pub(super) outputs: Vec<usize>,
    /// The number of values.
    pub(super) values: usize,
}

fn damaged<T>(text: String) -> Result<T, OnnxError> {
    Err(OnnxError::Damaged(text))
}

fn unsupported<T>(text: String) -> Result<T, OnnxError> {
    Err(OnnxError::Unsupported(text))
}

/// A name from a file, for a message.
fn quoted(name: &str) -> String {
    format!("'{}'", name.escape_debug())
}

/// The name of a node, or that of its first output.
fn node_name(node: &NodeProto) -> String {
    let name = if node.name().is_empty() { node.output.first().map_or("", String::as_str) } else { node.name() };
    name.escape_debug().to_string()
}

fn node_error(node: &NodeProto, why: impl Into<String>) -> OnnxError {
    OnnxError::Node { node: node_name(node), operator: node.op_type().escape_debug().to_string(), why: why.into() }
}

impl Graph {
    pub(super) fn of(model: &ModelProto) -> Result<Self, OnnxError> {
        let opset = opset(model)?;
        let Some(graph) = &model.graph else {
            return damaged("it has no graph".into());
        };
        if let Some(sparse) = graph.sparse_initializer.first() {
            let name = sparse.values.as_ref().map_or("", |values| values.name());
            return unsupported(format!("the initializer {} is sparse", quoted(name)));
        }
        let values = stored_values(graph)?;
        let inputs = inputs(graph, &values)?;
        let nodes = ordered(graph, &inputs, &values)?;
        build(graph, opset, inputs, values, &nodes)
    }
}

/// The version of the operators.
fn opset(model: &ModelProto) -> Result<i64, OnnxError> {
    let imported = model.opset_import.iter().find(|set| matches!(set.domain(), "" | "ai.onnx"));
    let Some(version) = imported.map(OperatorSetIdProto::version) else {
        return damaged("it names no version of the operators (opset_import)".into());
    };
    if !OPSETS.contains(&version) {
        return unsupported(format!(
            "its operators are of version {version} (opset)\n  rule: versions {} to {} are supported; convert it with onnx.version_converter",
            OPSETS.start(),
            OPSETS.end()
        ));
    }
    Ok(version)
}

/// The initializers by name.
fn stored_values(graph: &GraphProto) -> Result<BTreeMap<&str, Value>, OnnxError> {
    let mut values = BTreeMap::new();
    for tensor in &graph.initializer {
        let name = tensor.name();
        if name.is_empty() {
            return damaged("an initializer has no name".into());
        }
        let value = tensors::value(tensor)
            .map_err(|why| OnnxError::Unsupported(format!("the initializer {}: {why}", quoted(name))))?;
        if values.insert(name, value).is_some() {
            return damaged(format!("there are two initializers {}", quoted(name)));
        }
    }
    Ok(values)
}

/// The inputs of a run: older files list the initializers among them.
fn inputs(graph: &GraphProto, stored: &BTreeMap<&str, Value>) -> Result<Vec<GraphInput>, OnnxError> {
    let (mut found, mut names) = (Vec::new(), HashSet::new());
    for info in graph.input.iter().filter(|info| !stored.contains_key(info.name())) {
        if info.name().is_empty() || !names.insert(info.name()) {
            return damaged(format!("the input {} has no name, or there are two", quoted(info.name())));
        }
        found.push(input(info)?);
    }
    Ok(found)
}

fn input(info: &ValueInfoProto) -> Result<GraphInput, OnnxError> {
    let kind = info.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    let Some(type_proto::Value::TensorType(tensor)) = kind else {
        return unsupported(format!("the input {} is no tensor", quoted(info.name())));
    };
    let elements = DataType::try_from(tensor.elem_type()).unwrap_or(DataType::Undefined);
    let floats = match elements {
        DataType::Float => true,
        DataType::Int64 | DataType::Int32 | DataType::Bool => false,
        other => {
            return unsupported(format!(
                "the input {} is of type {}\n  rule: inputs of type FLOAT, INT64, INT32 and BOOL are supported",
                quoted(info.name()),
                other.as_str_name()
            ));
        }
    };
    let dims = tensor.shape.as_ref().map(|shape| {
        let length = |dim: &crate::proto::tensor_shape_proto::Dimension| match dim.value {
            Some(dimension::Value::DimValue(len)) => usize::try_from(len).ok(),
            _ => None,
        };
        shape.dim.iter().map(length).collect()
    });
    Ok(GraphInput { name: info.name().to_owned(), floats, dims })
}

/// The nodes that the outputs need, in the order of the file, in which every value is computed before it is read.
fn ordered<'a>(
    graph: &'a GraphProto,
    inputs: &[GraphInput],
    stored: &BTreeMap<&str, Value>,
) -> Result<Vec<&'a NodeProto>, OnnxError> {
    let mut known: HashSet<&str> =
        inputs.iter().map(|input| input.name.as_str()).chain(stored.keys().copied()).collect();
    let all_outputs: HashSet<&str> =
        graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str)).collect();
    for node in &graph.node {
        for input in node.input.iter().filter(|input| !input.is_empty()) {
            if !known.contains(input.as_str()) {
                let why = if all_outputs.contains(input.as_str()) {
                    "which a later node computes, or this one\n  rule: nodes are in order, without cycles"
                } else {
                    "which nothing computes"
                };
                return Err(node_error(node, format!("it reads {}, {why}", quoted(input))));
            }
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if !known.insert(output) {
                return Err(node_error(node, format!("it computes {}, which there is already", quoted(output))));
            }
        }
    }
    if graph.output.is_empty() {
        return damaged("it has no outputs".into());
    }
    if let Some(missing) = graph.output.iter().find(|output| !known.contains(output.name())) {
        return damaged(format!("nothing computes the output {}", quoted(missing.name())));
    }
    Ok(graph.node.iter().collect())
}

/// What a node becomes, before its values have places.
struct Plan<'a> {
    node: &'a NodeProto,
    inputs: Vec<&'a str>,
    run: Option<Run>,
}

fn build(
    graph: &GraphProto,
    opset: i64,
    inputs: Vec<GraphInput>,
    values: BTreeMap<&str, Value>,
    nodes: &[&NodeProto],
) -> Result<Graph, OnnxError> {
    let plans = planned(graph, &values, nodes);
    let kinds = kinds(&plans);
    let order: Vec<&str> = graph.initializer.iter().map(TensorProto::name).collect();
    let mut values = values;
    let stored: Vec<(String, Stored)> = order
        .into_iter()
        .map(|name| {
            let value = values.remove(name).expect("each initializer is stored once");
            (name.to_owned(), stored(name, value, kinds.get(name).copied()))
        })
        .collect();
    let names = inputs.iter().map(|input| input.name.as_str()).chain(stored.iter().map(|(name, _)| name.as_str()));
    let mut places: HashMap<String, usize> = names.enumerate().map(|(place, name)| (name.to_owned(), place)).collect();
    let read: HashSet<String> = plans
        .iter()
        .flat_map(|plan| plan.inputs.iter().copied())
        .chain(graph.output.iter().map(ValueInfoProto::name))
        .map(str::to_owned)
        .collect();
    let mut steps = Vec::new();
    for plan in plans {
        let inputs = plan.inputs.iter().map(|name| (!name.is_empty()).then(|| places[*name])).collect();
        let outputs = plan
            .node
            .output
            .iter()
            .map(|name| {
                let place = places.len();
                read.contains(name).then(|| *places.entry(name.clone()).or_insert(place))
            })
            .collect();
        let run = match plan.run {
            Some(run) => run,
            None => operators::compile(plan.node, opset, |name| read.contains(name))
                .map_err(|why| node_error(plan.node, why))?,
        };
        steps.push(Step {
            name: node_name(plan.node),
            operator: plan.node.op_type().escape_debug().to_string(),
            inputs,
            outputs,
            run,
            last: Vec::new(),
        });
    }
    let outputs: Vec<usize> = graph.output.iter().map(|output| places[output.name()]).collect();
    // From the last node on, the first reader that is met is the last one.
    let mut read: HashSet<usize> = outputs.iter().copied().collect();
    for step in steps.iter_mut().rev() {
        let touched = step.inputs.iter().chain(&step.outputs).flatten();
        step.last = touched.copied().filter(|&place| read.insert(place)).collect();
    }
    Ok(Graph { inputs, stored, steps, outputs, values: places.len() })
}

/// The nodes that the outputs need. Compositions of activation functions become one node each.
fn planned<'a>(graph: &'a GraphProto, values: &BTreeMap<&'a str, Value>, nodes: &[&'a NodeProto]) -> Vec<Plan<'a>> {
    let mut producers = HashMap::new();
    let mut numbers: HashMap<&str, f64> = HashMap::new();
    let scalar = |value: &Value| match value {
        Value::Float(x) if x.rank() == 0 => x.number(),
        _ => None,
    };
    numbers.extend(values.iter().filter_map(|(&name, value)| Some((name, scalar(value)?))));
    for &node in nodes {
        for output in &node.output {
            producers.insert(output.as_str(), node);
        }
        let tensor =
            node.attribute.iter().find(|attribute| attribute.name() == "value").and_then(|value| value.t.as_ref());
        if let (true, Some(output), Some(tensor)) = (node.op_type() == "Constant", node.output.first(), tensor)
            && tensor.dims.iter().all(|&len| len == 1)
            && let Ok(Value::Float(x)) = tensors::value(tensor)
            && let Some(number) = x.number()
        {
            numbers.insert(output, number);
        }
    }
    let composition = Composition { producers, numbers };
    let mut needed: HashSet<&str> = graph.output.iter().map(ValueInfoProto::name).collect();
    let mut plans: Vec<Plan> = Vec::new();
    for &node in nodes.iter().rev() {
        if !node.output.iter().any(|output| needed.contains(output.as_str())) {
            continue;
        }
        let activation = composition.activation(node);
        let inputs = match activation {
            Some((_, argument)) => vec![argument],
            None => node.input.iter().map(String::as_str).collect(),
        };
        needed.extend(inputs.iter().filter(|input| !input.is_empty()));
        plans.push(Plan { node, inputs, run: activation.map(|(function, _)| operators::activation(function)) });
    }
    plans.reverse();
    plans
}

/// How a stored value is used.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Weight,
    Statistics,
    Setting,
}

/// How each value is used; a value of several uses is a weight if one of them is that.
fn kinds<'a>(plans: &[Plan<'a>]) -> HashMap<&'a str, Kind> {
    let mut kinds = HashMap::new();
    for plan in plans {
        let operator = plan.node.op_type();
        for (i, &name) in plan.inputs.iter().enumerate() {
            let kind = match (operators::settings(operator).contains(&i), operator) {
                (false, _) => Kind::Weight,
                (true, "BatchNormalization") => Kind::Statistics,
                (true, _) => Kind::Setting,
            };
            let known = kinds.entry(name).or_insert(kind);
            if kind == Kind::Weight {
                *known = kind;
            }
        }
    }
    kinds
}

/// A float of at least one axis that is used as a weight is learned.
fn stored(name: &str, value: Value, kind: Option<Kind>) -> Stored {
    match value {
        Value::Float(x) if x.rank() > 0 && x.shape.numel() > 0 && kind == Some(Kind::Weight) => {
            Stored::Parameter(Var::parameter(name, x.var().value().clone()))
        }
        Value::Float(x) if kind == Some(Kind::Statistics) => Stored::Buffer(BufferOf::new(x.var().value().clone())),
        other => Stored::Constant(other),
    }
}

impl Stored {
    pub(super) fn value(&self) -> Value {
        match self {
            Self::Parameter(var) => Float::new(var.clone()).into(),
            Self::Buffer(buffer) => Float::constant(buffer.get()).into(),
            Self::Constant(value) => value.clone(),
        }
    }
}
