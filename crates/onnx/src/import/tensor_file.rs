//! Tensors in files of their own, as in ONNX's test data: one `TensorProto` each.

use prost::Message;

use super::OnnxValue;
use super::tensors;
use super::value::{Integers, Value};
use crate::error::OnnxError;
use crate::proto::TensorProto;
use crate::proto::tensor_proto::DataType;

impl OnnxValue {
    /// Reads a tensor that a `.pb` file holds, such as `input_0.pb` of ONNX's test data.
    ///
    /// # Errors
    /// If the bytes are no tensor, or one of a type that is not supported.
    pub fn from_tensor_bytes(bytes: &[u8]) -> Result<Self, OnnxError> {
        let tensor = TensorProto::decode(bytes).map_err(|error| OnnxError::Damaged(error.to_string()))?;
        let named = |why| OnnxError::Unsupported(format!("the tensor '{}': {why}", tensor.name().escape_debug()));
        Ok(match tensors::value(&tensor).map_err(named)? {
            Value::Float(x) => Self::Float(x.var().clone()),
            Value::Integers(Integers { dims, values }) => Self::Integers { dims, values },
        })
    }

    /// The contents of a `.pb` file with this tensor, floats as FLOAT and integers as INT64.
    pub fn to_tensor_bytes(&self) -> Vec<u8> {
        let (dims, data_type, data): (Vec<usize>, DataType, Vec<u8>) = match self {
            Self::Float(x) => {
                let bytes = x.value().to_vec().into_iter().flat_map(f32::to_le_bytes).collect();
                (x.shape().to_vec(), DataType::Float, bytes)
            }
            Self::Integers { dims, values } => {
                (dims.clone(), DataType::Int64, values.iter().flat_map(|x| x.to_le_bytes()).collect())
            }
        };
        let dims = dims.into_iter().map(|len| len as i64).collect();
        let tensor = TensorProto {
            dims,
            data_type: Some(data_type as i32),
            raw_data: Some(data.into()),
            ..TensorProto::default()
        };
        tensor.encode_to_vec()
    }

    /// The lengths of the axes.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Float(x) => x.shape().to_vec(),
            Self::Integers { dims, .. } => dims.clone(),
        }
    }
}
