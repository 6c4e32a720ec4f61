//! Convolution, pooling, resampling and normalization of images.

use chainrule_autograd::Setting;
use chainrule_tensor::TensorOf;

use crate::export::builder::Step;
use crate::export::graph::{Graph, integer, integers, number, text};
use crate::proto::AttributeProto;

pub(super) fn emit(step: &Step, x: &[&str], graph: &mut Graph) -> Result<String, String> {
    match step.name() {
        "conv2d" => conv(step, x, graph),
        "conv2d input gradient" => conv_transpose(step, x, graph),
        "conv2d_relu_max_pool2d" => {
            let conv = graph.node("Conv", x, conv_attributes(step)?);
            let relu = graph.node("Relu", &[&conv], Vec::new());
            let pool = ["pool kernel", "pool stride", "pool padding", "pool dilation", "pool ceil_mode"];
            Ok(graph.last("MaxPool", &[&relu], window(step, pool)?))
        }
        "max_pool2d" if is_adaptive(step) => adaptive(step, x, graph, ["GlobalMaxPool", "MaxPool"]),
        "max_pool2d" => Ok(graph.last("MaxPool", x, window(step, POOL)?)),
        "relu_max_pool2d" => {
            let relu = graph.node("Relu", x, Vec::new());
            Ok(graph.last("MaxPool", &[&relu], window(step, POOL)?))
        }
        "avg_pool2d" if is_adaptive(step) => adaptive(step, x, graph, ["GlobalAveragePool", "AveragePool"]),
        "avg_pool2d" => avg_pool(step, x, graph),
        "upsample2d" => upsample(step, x, graph),
        "batch_norm at inference" => batch_norm(step, x, graph),
        other => unreachable!("{other} is no operation on images"),
    }
}

const POOL: [&str; 5] = ["kernel", "stride", "padding", "dilation", "ceil_mode"];

/// Symmetric padding as ONNX has it: before both axes, then after both.
fn pads(padding: &[i64]) -> Vec<i64> {
    [padding, padding].concat()
}

fn conv_attributes(step: &Step) -> Result<Vec<AttributeProto>, String> {
    let w = step.op.parent(1).shape();
    Ok(vec![
        integers("kernel_shape", &[w[2] as i64, w[3] as i64]),
        integers("strides", &step.integers("stride")?),
        integers("pads", &pads(&step.integers("padding")?)),
        integers("dilations", &step.integers("dilation")?),
        integer("group", step.integer("groups")?),
    ])
}

/// The attributes of a pooling whose settings have these names.
fn window(step: &Step, names: [&str; 5]) -> Result<Vec<AttributeProto>, String> {
    let [kernel, stride, padding, dilation, ceil_mode] = names;
    let mut attributes = vec![
        integers("kernel_shape", &step.integers(kernel)?),
        integers("strides", &step.integers(stride)?),
        integers("pads", &pads(&step.integers(padding)?)),
    ];
    let dilation = step.integers(dilation)?;
    if dilation != [1, 1] {
        attributes.push(integers("dilations", &dilation));
    }
    if step.flag(ceil_mode)? {
        attributes.push(integer("ceil_mode", 1));
    }
    Ok(attributes)
}

/// A convolution, with its epilogue if it was recorded fused.
fn conv(step: &Step, x: &[&str], graph: &mut Graph) -> Result<String, String> {
    // A bias has one axis, a residual four.
    let bias = x.len() > 2 && step.op.parent(2).shape().rank() == 1;
    let (operands, residual) = x.split_at(if bias { 3 } else { 2 });
    Ok(epilogue(step, "Conv", operands, residual, conv_attributes(step)?, graph))
}

/// An operator, then the sum with a residual, then relu, as far as the operation includes them.
fn epilogue(
    step: &Step,
    operator: &str,
    operands: &[&str],
    residual: &[&str],
    attributes: Vec<AttributeProto>,
    graph: &mut Graph,
) -> String {
    let relu = step.op.rule().formula().starts_with("y = max(0");
    if residual.is_empty() && !relu {
        return graph.last(operator, operands, attributes);
    }
    let mut y = graph.node(operator, operands, attributes);
    if let [residual] = residual {
        if !relu {
            return graph.last("Add", &[&y, residual], Vec::new());
        }
        y = graph.node("Add", &[&y, residual], Vec::new());
    }
    graph.last("Relu", &[&y], Vec::new())
}

/// The transposed convolution of dy with w, to which a bias may be added.
pub(super) fn conv_transpose(step: &Step, x: &[&str], graph: &mut Graph) -> Result<String, String> {
    let (dy, w, y) = (step.op.parent(0).shape(), step.op.parent(1).shape(), step.op.output().shape());
    let [stride, padding, dilation] = ["stride", "padding", "dilation"].map(|name| step.integers(name));
    let (stride, padding, dilation) = (stride?, padding?, dilation?);
    // What is missing to the height and width of the result, which a stride makes ambiguous.
    let missing = [0, 1].map(|i| {
        let reach = (dy[2 + i] as i64 - 1) * stride[i] - 2 * padding[i] + dilation[i] * (w[2 + i] as i64 - 1) + 1;
        y[2 + i] as i64 - reach
    });
    let mut attributes = conv_attributes(step)?;
    if missing != [0, 0] {
        attributes.push(integers("output_padding", &missing));
    }
    Ok(graph.last("ConvTranspose", x, attributes))
}

fn avg_pool(step: &Step, x: &[&str], graph: &mut Graph) -> Result<String, String> {
    if step.integers("dilation")? != [1, 1] {
        return Err("ONNX has averages with a dilation since opset 19\n  rule: the dilation is 1".into());
    }
    let mut attributes = window(step, POOL)?;
    // Without padding both values mean the same, but runtimes read this one alike where the image cuts the last window.
    let include = step.flag("count_include_pad")? && step.integers("padding")? != [0, 0];
    attributes.push(integer("count_include_pad", include.into()));
    Ok(graph.last("AveragePool", x, attributes))
}

fn is_adaptive(step: &Step) -> bool {
    step.op.rule().attributes().iter().any(|attribute| attribute.name == "size")
}

/// An adaptive pooling by one of two operators, the first for a single window.
fn adaptive(step: &Step, x: &[&str], graph: &mut Graph, [global, windows]: [&str; 2]) -> Result<String, String> {
    let size = step.integers("size")?;
    if size == [1, 1] {
        return Ok(graph.last(global, x, Vec::new()));
    }
    let image = step.op.parent(0).shape();
    let image = [image[2] as i64, image[3] as i64];
    if (0..2).any(|i| image[i] % size[i] != 0) {
        return Err(format!(
            "the windows from {}×{} to {}×{} have several sizes\n  rule: the size of an adaptive pooling divides that of the image",
            image[0], image[1], size[0], size[1]
        ));
    }
    let kernel = [image[0] / size[0], image[1] / size[1]];
    Ok(graph.last(windows, x, vec![integers("kernel_shape", &kernel), integers("strides", &kernel)]))
}

fn upsample(step: &Step, x: &[&str], graph: &mut Graph) -> Result<String, String> {
    let (image, size) = (step.op.parent(0).shape(), step.integers("size")?);
    let scales = [0, 1].map(|i| size[i] as f32 / image[2 + i] as f32);
    // A runtime computes the size from the factor.
    let inexact = || {
        format!(
            "the factor from {}×{} to {}×{} cannot be written exactly\n  rule: enlarge by an integer factor",
            image[2], image[3], size[0], size[1]
        )
    };
    if (0..2).any(|i| (image[2 + i] as f32 * scales[i]).floor() as i64 != size[i]) {
        return Err(inexact());
    }
    let Setting::Text(interpolation) = step.setting("interpolation")? else {
        return Err("its interpolation is no name".into());
    };
    let attributes = if interpolation == "nearest" {
        // A runtime divides by the scale, which is rounded.
        let same = |i: usize, at: i64| (at as f32 / scales[i]).floor() as i64 == at * image[2 + i] as i64 / size[i];
        if !(0..2).all(|i| (0..size[i]).all(|at| same(i, at))) {
            return Err(inexact());
        }
        vec![
            text("mode", "nearest"),
            text("coordinate_transformation_mode", "asymmetric"),
            text("nearest_mode", "floor"),
        ]
    } else {
        let mode = if step.flag("align_corners")? { "align_corners" } else { "half_pixel" };
        vec![text("mode", "linear"), text("coordinate_transformation_mode", mode)]
    };
    let scales = graph.floats(&[1.0, 1.0, scales[0], scales[1]], &[4]);
    Ok(graph.last("Resize", &[x[0], "", &scales], attributes))
}

fn batch_norm(step: &Step, x: &[&str], graph: &mut Graph) -> Result<String, String> {
    let layer = step.op.layer();
    let mut statistics = |setting: &str, name: &str| -> Result<String, String> {
        let Setting::Numbers(values) = step.setting(setting)? else {
            return Err(format!("its {setting} is no tensor"));
        };
        let values: TensorOf<f32> = values.to_f32();
        let name = match &layer {
            Some(layer) => format!("{layer}.{name}"),
            None => name.to_owned(),
        };
        Ok(graph.statistics(&name, &values.to_vec(), &values.shape()))
    };
    let (mean, variance) = (statistics("mean", "running_mean")?, statistics("variance", "running_var")?);
    let attributes = vec![number("epsilon", step.number("eps")?)];
    Ok(epilogue(step, "BatchNormalization", &[x[0], x[1], x[2], &mean, &variance], &x[3..], attributes, graph))
}
