//! Import: an ONNX model as a [`Module`].

mod attributes;
mod graph;
mod operators;
mod pass;
mod patterns;
mod tensor_file;
mod tensors;
mod value;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use chainrule_autograd::Var;
use chainrule_nn::{Item, Module, Visitor};
use chainrule_tensor::{Shape, ShapeError};
use prost::Message;
use prost::bytes::Bytes;

pub use operators::IMPORTED;

use crate::error::OnnxError;
use crate::proto::ModelProto;
use graph::{Graph, GraphInput, Stored};
use pass::{LARGEST, Pass};
use value::{Float, Integers, Operands, Value};

/// A model that was read from an ONNX file. With one input and one output it is a [`Module`].
///
/// Initializers that are used as weights are parameters with the names that they have in the file, so they can be trained,
/// frozen and saved by name. The statistics of batch normalizations are buffers. What the file computes at inference is
/// computed in every mode: batch normalization uses the stored statistics, and dropout is the identity.
///
/// ```no_run
/// use chainrule_nn::Module;
/// use chainrule_onnx::OnnxModel;
/// use chainrule_tensor::Tensor;
/// let net = OnnxModel::read("resnet18.onnx")?;
/// let logits = net.run(&Tensor::zeros([1, 3, 224, 224]).into())?;
/// println!("{}", net.summary());
/// # Ok::<(), chainrule_onnx::OnnxError>(())
/// ```
pub struct OnnxModel(Graph);

/// A tensor that goes into a model or comes out of it.
#[derive(Clone, Debug)]
pub enum OnnxValue {
    /// Floats.
    Float(Var),
    /// Integers or truth values, in row-major order.
    Integers {
        /// The lengths of the axes.
        dims: Vec<usize>,
        /// The elements, as many as the axes announce.
        values: Vec<i64>,
    },
}

impl OnnxModel {
    /// Reads an `.onnx` file.
    ///
    /// # Errors
    /// If the file cannot be read, is no ONNX model, or has an operator or an attribute that is not supported; the error has
    /// the names of operator and node.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, OnnxError> {
        let path = path.as_ref();
        let failed = |source| OnnxError::Read { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        // Protocol buffers have less than 2³¹ bytes. One more is read, to tell a larger file.
        let most = i32::MAX as u64;
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > most {
            return Err(OnnxError::Damaged("it has 2³¹ bytes or more".into()));
        }
        Self::decode(bytes.into())
    }

    /// Reads the contents of an `.onnx` file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OnnxError> {
        Self::decode(Bytes::copy_from_slice(bytes))
    }

    fn decode(bytes: Bytes) -> Result<Self, OnnxError> {
        let model = ModelProto::decode(bytes).map_err(|error| OnnxError::Damaged(error.to_string()))?;
        let model = Self(Graph::of(&model)?);
        model.check_declared()?;
        Ok(model)
    }

    /// Computes the shapes for the input that the file declares, if it is the only one and all lengths but that of the first axis,
    /// the batch, are given. Of several inputs some may be settings, whose elements the shapes depend on. So most models whose nodes do not fit together are refused when they are read.
    fn check_declared(&self) -> Result<(), OnnxError> {
        let [input] = self.0.inputs.as_slice() else {
            return Ok(());
        };
        let Some(dims) = input.dims.as_ref().filter(|_| input.floats) else {
            return Ok(());
        };
        let length = |(axis, len): (usize, &Option<usize>)| len.or((axis == 0).then_some(1));
        let Some(dims) = dims.iter().enumerate().map(length).collect::<Option<Vec<usize>>>() else {
            return Ok(());
        };
        let shape =
            pass::shape(&dims).map_err(|why| OnnxError::Input(format!("the input '{}' is {why}", input.name)))?;
        self.passed(vec![Float::unknown(shape).into()], false).map(drop)
    }

    /// The names of the inputs, in their order.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.0.inputs.iter().map(|input| input.name.as_str())
    }

    /// The lengths of the axes of an input, where `None` is one that the file leaves open; `None` if it tells nothing.
    pub fn input_axes(&self, input: usize) -> Option<&[Option<usize>]> {
        self.0.inputs.get(input)?.dims.as_deref()
    }

    /// The output of a model with one input and one output.
    ///
    /// # Errors
    /// If it has other inputs or outputs, or a node does not fit its inputs; the error has the name of the node.
    pub fn run(&self, x: &Var) -> Result<Var, OnnxError> {
        match <[Value; 1]>::try_from(self.passed(vec![Float::new(x.clone()).into()], true)?) {
            Ok([Value::Float(y)]) => Ok(y.var().clone()),
            _ => Err(OnnxError::Input(
                "the model does not have one output of floats\n  rule: use OnnxModel::evaluate".into(),
            )),
        }
    }

    /// The outputs of a model for its inputs, both in the order of the file.
    ///
    /// # Errors
    /// If the inputs are not those of the model, or a node does not fit its inputs; the error has the name of the node.
    pub fn evaluate(&self, inputs: Vec<OnnxValue>) -> Result<Vec<OnnxValue>, OnnxError> {
        let given = |value| match value {
            OnnxValue::Float(var) => Ok(Float::new(var).into()),
            OnnxValue::Integers { dims, values } => {
                if dims.iter().try_fold(1usize, |n, &len| n.checked_mul(len)) == Some(values.len()) {
                    Ok(Integers { dims, values }.into())
                } else {
                    Err(OnnxError::Input(format!("{} integers are given for axes {dims:?}", values.len())))
                }
            }
        };
        let inputs = inputs.into_iter().map(given).collect::<Result<Vec<Value>, OnnxError>>()?;
        let outputs = self.passed(inputs, true)?;
        Ok(outputs
            .into_iter()
            .map(|value| match value {
                Value::Float(x) => OnnxValue::Float(x.var().clone()),
                Value::Integers(Integers { dims, values }) => OnnxValue::Integers { dims, values },
            })
            .collect())
    }

    /// The outputs, or only their shapes.
    fn passed(&self, inputs: Vec<Value>, computing: bool) -> Result<Vec<Value>, OnnxError> {
        self.check_inputs(&inputs)?;
        let elements = inputs.iter().map(|value| match value {
            Value::Float(x) => x.shape.numel(),
            Value::Integers(x) => x.values.len(),
        });
        let elements = elements.sum();
        // Shapes first: nothing is computed for a model whose nodes do not fit together.
        let shapes = self.interpreted(&Pass::shapes(elements), inputs.clone())?;
        if computing { self.interpreted(&Pass::elements(elements), inputs) } else { Ok(shapes) }
    }

    fn check_inputs(&self, inputs: &[Value]) -> Result<(), OnnxError> {
        let expected = &self.0.inputs;
        if inputs.len() != expected.len() {
            let names: Vec<&str> = self.inputs().collect();
            return Err(OnnxError::Input(format!(
                "{} inputs are given, the model has {}: {}",
                inputs.len(),
                names.len(),
                names.join(", ")
            )));
        }
        let too_long = |value: &Value| matches!(value, Value::Float(x) if x.shape.iter().any(|&len| len > LARGEST));
        if inputs.iter().any(too_long) {
            return Err(OnnxError::Input(format!("an input has an axis of more than {LARGEST} elements")));
        }
        let wrong = inputs.iter().zip(expected).find(|(value, input)| matches!(value, Value::Float(_)) != input.floats);
        match wrong {
            Some((_, GraphInput { name, floats, .. })) => {
                let kind = if *floats { "floats" } else { "integers" };
                Err(OnnxError::Input(format!("the input '{name}' is a tensor of {kind}")))
            }
            None => Ok(()),
        }
    }

    fn interpreted(&self, pass: &Pass, inputs: Vec<Value>) -> Result<Vec<Value>, OnnxError> {
        let Graph { stored, steps, outputs, values: count, .. } = &self.0;
        let known = inputs.into_iter().chain(stored.iter().map(|(_, stored)| stored.value()));
        let mut values: Vec<Option<Value>> = known.map(Some).collect();
        values.resize_with(*count, || None);
        for step in steps {
            let failed = |why| OnnxError::Node { node: step.name.clone(), operator: step.operator.clone(), why };
            let read = |place: &Option<usize>| place.and_then(|place| values[place].as_ref());
            let made = (step.run)(pass, &Operands(step.inputs.iter().map(read).collect())).map_err(failed)?;
            for (place, value) in step.outputs.iter().zip(made) {
                if let Some(place) = place {
                    values[*place] = Some(value);
                }
            }
            for &place in &step.last {
                values[place] = None;
            }
        }
        Ok(outputs.iter().map(|&place| values[place].clone().expect("every output is computed")).collect())
    }
}

impl Module<f32> for OnnxModel {
    /// The output for an input.
    ///
    /// # Panics
    /// If the model does not accept it, with the text of the error that [`OnnxModel::run`] returns.
    fn forward(&self, x: &Var) -> Var {
        self.run(x).unwrap_or_else(|error| panic!("{error}"))
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let failed = |error: OnnxError| ShapeError::new(error.to_string());
        match self.passed(vec![Float::unknown(x).into()], false).map_err(failed)?.as_slice() {
            [Value::Float(y)] => Ok(y.shape),
            _ => Err(ShapeError::new("the model does not have one output of floats\n  rule: use OnnxModel::evaluate")),
        }
    }

    fn visit(&self, visitor: &mut Visitor<'_, f32>) {
        for (name, stored) in &self.0.stored {
            match stored {
                Stored::Parameter(var) => visitor.item(name, Item::Parameter(var)),
                Stored::Buffer(buffer) => visitor.item(name, Item::Buffer(buffer)),
                Stored::Constant(_) => {}
            }
        }
    }
}
