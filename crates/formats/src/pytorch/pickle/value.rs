//! What a pickle can make here: plain values, and descriptions of tensors.
//!
//! Values are indices into one list of nodes, so that cycles cost nothing and no walk or drop recurses.

use std::rc::Rc;

use chainrule_nn::Dtype;

use super::globals::Global;
use crate::strided::Strided;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    None,
    Int(i64),
    Global(Global),
    /// A node, by its index.
    Node(u32),
    /// A value that no tensor depends on: a float, bytes, a set, a device.
    Other,
}

#[derive(Debug)]
pub(crate) enum Node {
    Text(Rc<str>),
    Tuple(Box<[Value]>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Storage(Box<Storage>),
    Tensor(Box<Tensor>),
    /// A class or function that is not read, by name.
    Unknown(Box<str>),
}

/// A storage, as a persistent id describes it: numbers that are elsewhere in the file.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub(crate) key: Rc<str>,
    /// The format of its numbers; `None` for a storage of bytes.
    pub(crate) dtype: Option<Dtype>,
    /// The number of elements.
    pub(crate) numel: usize,
    /// The part that is used, by first element and number: before 0.4 PyTorch had views of storages.
    pub(crate) view: Option<(usize, usize)>,
}

impl Storage {
    /// The bytes of an element.
    pub(crate) fn element(&self) -> usize {
        self.dtype.map_or(1, |dtype| dtype.bitsize() / 8)
    }
}

/// A tensor: a view of a storage.
#[derive(Debug)]
pub(crate) struct Tensor {
    pub(crate) key: Rc<str>,
    pub(crate) dtype: Dtype,
    /// In elements of the tensor, from the start of the storage.
    pub(crate) layout: Strided,
}

impl Tensor {
    /// The bytes of an element.
    pub(crate) fn element(&self) -> usize {
        self.dtype.bitsize() / 8
    }
}

/// All that a pickle has made.
#[derive(Debug, Default)]
pub(crate) struct Nodes(Vec<Node>);

impl Nodes {
    pub(super) fn add(&mut self, node: Node) -> Value {
        // The number of operations is limited to far fewer.
        let index = u32::try_from(self.0.len()).expect("fewer than 2³² nodes");
        self.0.push(node);
        Value::Node(index)
    }

    pub(crate) fn get(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(index) => self.0.get(index as usize),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, value: Value) -> Option<&mut Node> {
        match value {
            Value::Node(index) => self.0.get_mut(index as usize),
            _ => None,
        }
    }

    pub(crate) fn text(&self, value: Value) -> Option<&Rc<str>> {
        if let Some(Node::Text(text)) = self.get(value) { Some(text) } else { None }
    }

    /// The items of a tuple or list.
    pub(crate) fn items(&self, value: Value) -> Option<&[Value]> {
        match self.get(value)? {
            Node::Tuple(items) => Some(items),
            Node::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        if let Some(Node::Dict(entries)) = self.get(value) { Some(entries) } else { None }
    }

    pub(crate) fn tensor(&self, value: Value) -> Option<&Tensor> {
        if let Some(Node::Tensor(tensor)) = self.get(value) { Some(tensor) } else { None }
    }

    /// The name of a class or function that is not read.
    pub(super) fn unknown(&self, value: Value) -> Option<&str> {
        if let Some(Node::Unknown(name)) = self.get(value) { Some(name) } else { None }
    }

    /// What a value is, for messages.
    pub(crate) fn kind(&self, value: Value) -> &'static str {
        match (value, self.get(value)) {
            (Value::None, _) => "None",
            (Value::Int(_), _) => "a number",
            (Value::Global(_), _) => "a class or function",
            (_, Some(Node::Text(_))) => "text",
            (_, Some(Node::Tuple(_))) => "a tuple",
            (_, Some(Node::List(_))) => "a list",
            (_, Some(Node::Dict(_))) => "a dict",
            (_, Some(Node::Storage(_))) => "a storage",
            (_, Some(Node::Tensor(_))) => "a tensor",
            _ => "another value",
        }
    }
}
