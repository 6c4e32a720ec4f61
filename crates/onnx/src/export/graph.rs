//! The nodes and initializers of a graph under construction, with unique names.

use std::collections::{HashMap, HashSet};

use chainrule_autograd::Var;
use chainrule_tensor::TensorOf;

use super::batch::Dim;
use crate::proto::tensor_proto::DataType;
use crate::proto::tensor_shape_proto::{Dimension, dimension};
use crate::proto::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType, type_proto,
};

#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    values: HashSet<String>,
    node_names: HashSet<String>,
    /// The names of parameters and constants by id.
    leaves: HashMap<u64, String>,
    /// The path of the operation that is being emitted, and the name that its result must have.
    path: String,
    result: Option<String>,
    /// The input whose first axis is the batch.
    batch_of: Option<String>,
    /// The value with the batch size, once it is needed.
    batch: Option<String>,
}

/// A name that is not in `taken`, which it is added to: `base`, else `base#2`, and so on.
fn unique(taken: &mut HashSet<String>, base: &str) -> String {
    let numbered = (2..).map(|n| format!("{base}#{n}"));
    let name = std::iter::once(base.to_owned()).chain(numbered).find(|name| !taken.contains(name));
    let name = name.expect("one of infinitely many is free");
    taken.insert(name.clone());
    name
}

impl Graph {
    pub(super) fn unique(&mut self, base: &str) -> String {
        unique(&mut self.values, base)
    }

    /// Begins the nodes of an operation. Its last node gets the path as its name, and its value that of `result`.
    pub(super) fn begin(&mut self, path: &str, result: Option<&str>) {
        path.clone_into(&mut self.path);
        self.result = result.map(str::to_owned);
    }

    pub(super) fn batch_of(&mut self, input: &str) {
        self.batch_of = Some(input.to_owned());
    }

    /// The last node of an operation. Returns the name of its value.
    pub(super) fn last(&mut self, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let path = self.path.clone();
        let value = match self.result.take() {
            Some(name) => name,
            None => self.unique(&path),
        };
        self.push(&path, operator, inputs, value.clone(), attributes);
        value
    }

    /// A node before the last one of an operation. Returns the name of its value.
    pub(super) fn node(&mut self, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = format!("{}/{operator}", self.path);
        let value = self.unique(&name);
        self.push(&name, operator, inputs, value.clone(), attributes);
        value
    }

    fn push(&mut self, name: &str, operator: &str, inputs: &[&str], output: String, attributes: Vec<AttributeProto>) {
        let name = unique(&mut self.node_names, name);
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output],
            name: Some(name),
            op_type: Some(operator.into()),
            attribute: attributes,
            ..NodeProto::default()
        });
    }

    pub(super) fn identity(&mut self, input: &str, output: &str) {
        self.push("output", "Identity", &[input], output.to_owned(), Vec::new());
    }

    /// A constant of floats, as a node, so that an importer does not take it for a weight.
    pub(super) fn floats(&mut self, values: &[f32], dims: &[usize]) -> String {
        self.node("Constant", &[], vec![tensor("value", float_tensor(None, values, dims))])
    }

    /// A scalar constant.
    pub(super) fn scalar(&mut self, value: f32) -> String {
        self.floats(&[value], &[])
    }

    /// A constant list of integers.
    pub(super) fn integers(&mut self, values: &[i64]) -> String {
        self.integer_tensor(values, &[values.len()])
    }

    pub(super) fn integer_tensor(&mut self, values: &[i64], dims: &[usize]) -> String {
        let value = TensorProto {
            dims: dims.iter().map(|&n| n as i64).collect(),
            data_type: Some(DataType::Int64 as i32),
            raw_data: Some(values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>().into()),
            ..TensorProto::default()
        };
        self.node("Constant", &[], vec![tensor("value", value)])
    }

    /// A constant of truth values.
    pub(super) fn mask(&mut self, mask: &TensorOf<u8>) -> String {
        let value = TensorProto {
            dims: mask.shape().iter().map(|&n| n as i64).collect(),
            data_type: Some(DataType::Bool as i32),
            raw_data: Some(mask.to_vec().into_iter().map(|x| u8::from(x != 0)).collect::<Vec<u8>>().into()),
            ..TensorProto::default()
        };
        self.node("Constant", &[], vec![tensor("value", value)])
    }

    /// The axes of a shape as a value of integers, computed from the batch size where they depend on it.
    pub(super) fn shape(&mut self, dims: &[Dim]) -> String {
        let fixed: Option<Vec<i64>> =
            dims.iter().map(|dim| if let Dim::Fixed(n) = dim { Some(*n as i64) } else { None }).collect();
        if let Some(fixed) = fixed {
            return self.integers(&fixed);
        }
        let batch = self.batch();
        let parts: Vec<String> = dims
            .iter()
            .map(|dim| match *dim {
                Dim::Fixed(n) => self.integers(&[n as i64]),
                Dim::Batch(1) => batch.clone(),
                Dim::Batch(multiple) => {
                    let multiple = self.integers(&[multiple as i64]);
                    self.node("Mul", &[&batch, &multiple], Vec::new())
                }
            })
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.node("Concat", &parts, vec![integer("axis", 0)])
    }

    /// The batch size: a list of one integer.
    fn batch(&mut self) -> String {
        if let Some(batch) = &self.batch {
            return batch.clone();
        }
        let input = self.batch_of.clone().expect("an axis depends on the batch only if there are two batch sizes");
        let batch = self.node("Shape", &[&input], vec![integer("start", 0), integer("end", 1)]);
        self.batch = Some(batch.clone());
        batch
    }

    /// The name of a parameter, which becomes an initializer, or of a constant, which becomes a node.
    pub(super) fn leaf(&mut self, var: &Var, path: &str) -> String {
        if let Some(name) = self.leaves.get(&var.id()) {
            return name.clone();
        }
        let (values, shape) = (var.value().to_vec(), var.shape());
        let name = if var.is_parameter() {
            self.initializer(&var.name(), &values, &shape)
        } else {
            self.begin(path, None);
            self.floats(&values, &shape)
        };
        self.leaves.insert(var.id(), name.clone());
        name
    }

    /// The statistics of a layer; those of a layer that is used again are stored once.
    pub(super) fn statistics(&mut self, name: &str, values: &[f32], dims: &[usize]) -> String {
        let tensor = float_tensor(Some(name.to_owned()), values, dims);
        if self.initializers.contains(&tensor) { name.to_owned() } else { self.initializer(name, values, dims) }
    }

    fn initializer(&mut self, name: &str, values: &[f32], dims: &[usize]) -> String {
        let name = self.unique(name);
        self.initializers.push(float_tensor(Some(name.clone()), values, dims));
        name
    }

    pub(super) fn value_info(name: &str, dims: &[Dim]) -> ValueInfoProto {
        let dim = |dim: &Dim| {
            let value = match *dim {
                Dim::Fixed(n) => dimension::Value::DimValue(n as i64),
                Dim::Batch(1) => dimension::Value::DimParam("N".into()),
                Dim::Batch(multiple) => dimension::Value::DimParam(format!("{multiple}*N")),
            };
            Dimension { value: Some(value), ..Dimension::default() }
        };
        let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
        let tensor = type_proto::Tensor { elem_type: Some(DataType::Float as i32), shape: Some(shape) };
        let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
        ValueInfoProto { name: Some(name.into()), r#type: Some(kind), ..ValueInfoProto::default() }
    }

    pub(super) fn finish(self, input: Vec<ValueInfoProto>, output: ValueInfoProto) -> GraphProto {
        GraphProto {
            name: Some("net".into()),
            node: self.nodes,
            initializer: self.initializers,
            input,
            output: vec![output],
            ..GraphProto::default()
        }
    }
}

fn float_tensor(name: Option<String>, values: &[f32], dims: &[usize]) -> TensorProto {
    TensorProto {
        dims: dims.iter().map(|&n| n as i64).collect(),
        data_type: Some(DataType::Float as i32),
        name,
        raw_data: Some(values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>().into()),
        ..TensorProto::default()
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: Some(kind as i32), ..AttributeProto::default() }
}

pub(super) fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) }
}

pub(super) fn integers(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

pub(super) fn number(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, AttributeType::Float) }
}

pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.as_bytes().to_vec()), ..attribute(name, AttributeType::String) }
}

fn tensor(name: &str, value: TensorProto) -> AttributeProto {
    AttributeProto { t: Some(value), ..attribute(name, AttributeType::Tensor) }
}
