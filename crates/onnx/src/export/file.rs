//! An exported model, in memory and as a file.

use std::fmt;
use std::path::Path;

use chainrule_nn::atomic_file;
use prost::Message;

use crate::error::OnnxError;
use crate::proto::tensor_shape_proto::{Dimension, dimension};
use crate::proto::{ModelProto, StringStringEntryProto, ValueInfoProto, type_proto};

/// A model in the ONNX format.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxFile(pub(crate) ModelProto);

impl OnnxFile {
    /// The contents of an `.onnx` file.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    /// The model with an entry of metadata, such as the names of the classes.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.metadata_props.push(StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) });
        self
    }

    /// Writes an `.onnx` file, whole or not at all.
    ///
    /// # Errors
    /// [`OnnxError::Write`], or [`OnnxError::Export`] if the model is larger than the two gigabytes that protocol buffers
    /// allow.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), OnnxError> {
        let path = path.as_ref();
        let size = self.0.encoded_len();
        if i32::try_from(size).is_err() {
            return Err(OnnxError::Export(format!(
                "a model of {size} bytes\n  rule: an ONNX file without external data has less than 2³¹"
            )));
        }
        atomic_file::write(path, &self.to_bytes()).map_err(|source| OnnxError::Write { path: path.into(), source })
    }
}

impl fmt::Display for OnnxFile {
    /// The inputs, a line for each node with its name, operator and operands, and the output.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(graph) = &self.0.graph else {
            return Ok(());
        };
        for input in &graph.input {
            writeln!(f, "{} {}", input.name(), axes(input))?;
        }
        for node in &graph.node {
            writeln!(f, "{}: {}({})", node.name(), node.op_type(), node.input.join(", "))?;
        }
        graph.output.iter().try_for_each(|output| writeln!(f, "{} {}", output.name(), axes(output)))
    }
}

/// The lengths of the axes of an input or output, as text.
fn axes(info: &ValueInfoProto) -> String {
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        return String::new();
    };
    let length = |dim: &Dimension| match &dim.value {
        Some(dimension::Value::DimValue(len)) => len.to_string(),
        Some(dimension::Value::DimParam(name)) => name.clone(),
        None => "?".into(),
    };
    let lengths: Vec<String> = tensor.shape.iter().flat_map(|shape| &shape.dim).map(length).collect();
    format!("({})", lengths.join(", "))
}
