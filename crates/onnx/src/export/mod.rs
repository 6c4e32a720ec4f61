//! Export: the operations of a forward pass as a graph of ONNX operators.

mod batch;
mod builder;
mod file;
mod graph;
mod operations;
mod trace;

use chainrule_autograd::Var;
use chainrule_nn::{Inference, Module, unfused};
use chainrule_tensor::{Shape, Tensor};

pub use file::OnnxFile;
pub use operations::EXPORTED;

use crate::error::OnnxError;
use builder::Builder;
use trace::Trace;

/// The version of the operators in exported files. Runtimes support it since 2022.
pub(crate) const OPSET: i64 = 17;

/// The two batch sizes at which a net is recorded. What differs between the two recordings depends on the batch.
const BATCHES: [usize; 2] = [2, 3];

/// The net at inference as an ONNX model, for inputs of this shape, of which the first axis is the batch and gets any length.
///
/// The net is run unfused on zeros at two batch sizes, and its modes are restored. Parameters become initializers with their
/// paths as names, nodes have the paths of their layers. The input is `input`, the output `output`.
///
/// # Errors
/// If the net does not accept such inputs, if an operation has no counterpart in ONNX (the error has its name and says what to
/// do), or if its settings depend on the batch size.
///
/// # Panics
/// If the forward pass panics although [`Module::output_shape`] accepts the input.
pub fn export(net: &dyn Module<f32>, input: impl Into<Shape>) -> Result<OnnxFile, OnnxError> {
    let input = input.into();
    if input.rank() == 0 {
        return Err(OnnxError::Export(
            "a net whose input is a scalar\n  rule: the first axis of the input is the batch".into(),
        ));
    }
    let modes = Inference::enter(net);
    net.output_shape(input.with(0, BATCHES[1]))?;
    // Their names are then their paths.
    let parameters = net.named_parameters();
    let device = parameters.first().map_or_else(Default::default, |(_, var)| var.value().device());
    let record = |batch: usize| {
        // The input requires a gradient, so that operations on frozen parameters are recorded too. It is the result of an
        // operation, because a parameter here would count as a parameter of the first layer.
        let x = Var::parameter("input", Tensor::zeros(input.with(0, batch)).to(device)) * 1.0;
        let y = unfused(|| net.forward(&x));
        (x, y)
    };
    let [(x, y), (other_x, other_y)] = BATCHES.map(record);
    drop(modes);
    let (one, other) = (Trace::of(&y, &[&x]), Trace::of(&other_y, &[&other_x]));
    Builder::new(one, other, BATCHES)?.build(&[("input".to_owned(), x)], &y)
}

/// The recorded graph of `output` as an ONNX model with these inputs, whose names are those of the variables. All shapes are
/// fixed. Parameters that are not inputs become initializers with their names.
///
/// ```
/// use chainrule_autograd::Var;
/// let (x, w) = (Var::parameter("x", [[1.0, 2.0]]), Var::parameter("w", [[3.0], [4.0]]));
/// let y = x.matmul(&w).tanh();
/// let file = chainrule_onnx::export_graph(&y, &[&x])?;
/// # Ok::<(), chainrule_onnx::OnnxError>(())
/// ```
///
/// # Errors
/// If an operation has no counterpart in ONNX, with its name.
///
/// # Panics
/// If a parameter was changed after it had been used in the graph.
pub fn export_graph(output: &Var, inputs: &[&Var]) -> Result<OnnxFile, OnnxError> {
    let (one, other) = (Trace::of(output, inputs), Trace::of(output, inputs));
    let inputs: Vec<(String, Var)> = inputs.iter().map(|&x| (x.name(), x.clone())).collect();
    Builder::new(one, other, [1, 1])?.build(&inputs, output)
}
