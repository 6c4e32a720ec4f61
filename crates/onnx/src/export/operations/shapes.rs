//! Views, broadcasting, padding, concatenation, indexing and reductions.

use chainrule_autograd::Setting;

use crate::export::batch::Dim;
use crate::export::builder::Step;
use crate::export::graph::{Graph, integer, integers};

pub(super) fn emit(step: &Step, x: &[&str], graph: &mut Graph) -> Result<String, String> {
    let one = x[0];
    match step.name() {
        "reshape" => reshape(one, &step.operand(0)?, &step.output()?, graph),
        "permute" => Ok(graph.last("Transpose", x, vec![integers("perm", &step.integers("order")?)])),
        "transpose" => {
            let rank = step.op.parent(0).shape().rank();
            let axes = step.integers("axes")?;
            let at = |axis: i64| if axis < 0 { axis + rank as i64 } else { axis } as usize;
            let mut order: Vec<i64> = (0..rank as i64).collect();
            order.swap(at(axes[0]), at(axes[1]));
            Ok(graph.last("Transpose", x, vec![integers("perm", &order)]))
        }
        "slice" => slice(step, one, graph),
        "broadcast_to" => {
            let shape = graph.shape(&step.output()?);
            Ok(graph.last("Expand", &[one, &shape], Vec::new()))
        }
        "sum_to" => reduce(graph, "ReduceSum", one, step, &step.output()?),
        "channel_sum" => {
            let axes: Vec<i64> = (0..step.op.parent(0).shape().rank() as i64).filter(|&axis| axis != 1).collect();
            let axes = graph.integers(&axes);
            Ok(graph.last("ReduceSum", &[one, &axes], vec![integer("keepdims", 0)]))
        }
        "max" | "min" => {
            let operator = if step.name() == "max" { "ReduceMax" } else { "ReduceMin" };
            let axes = step.integers("axes")?;
            let mut attributes = vec![integer("keepdims", 1)];
            // An empty list means all axes, in ONNX the absence of the attribute.
            if !axes.is_empty() {
                attributes.push(integers("axes", &axes));
            }
            Ok(graph.last(operator, x, attributes))
        }
        "concat" => Ok(graph.last("Concat", x, vec![integer("axis", step.axis("axis")? as i64)])),
        "pad" => {
            let widths = [step.integers("before")?, step.integers("after")?].concat();
            let widths = graph.integers(&widths);
            let value = graph.scalar(step.number("value")?);
            Ok(graph.last("Pad", &[one, &widths, &value], Vec::new()))
        }
        "gather" => {
            let Setting::Indices(index) = step.setting("index")? else {
                return Err("its index is no tensor of integers".into());
            };
            let values: Vec<i64> = index.to_vec().into_iter().map(i64::from).collect();
            let index = graph.integer_tensor(&values, &index.shape());
            Ok(graph.last("GatherElements", &[one, &index], vec![integer("axis", step.axis("axis")? as i64)]))
        }
        other => unreachable!("{other} is no operation on shapes"),
    }
}

/// The axes of `from` as those of `to`, in row-major order.
fn reshape(x: &str, from: &[Dim], to: &[Dim], graph: &mut Graph) -> Result<String, String> {
    if to.contains(&Dim::Fixed(0)) {
        return Err("the tensor is empty\n  rule: a reshaped tensor has elements".into());
    }
    if from.len() > 2 && to.len() == 2 && from[0] == to[0] {
        return Ok(graph.last("Flatten", &[x], vec![integer("axis", 1)]));
    }
    // In ONNX 0 stands for the length that the axis had, −1 for the one that is left.
    let mut inferred = false;
    let lengths: Option<Vec<i64>> = to
        .iter()
        .enumerate()
        .map(|(axis, &dim)| match dim {
            Dim::Fixed(n) => Some(n as i64),
            dim if from.get(axis) == Some(&dim) => Some(0),
            Dim::Batch(_) => (!std::mem::replace(&mut inferred, true)).then_some(-1),
        })
        .collect();
    let shape = match lengths {
        Some(lengths) => graph.integers(&lengths),
        None => graph.shape(to),
    };
    Ok(graph.last("Reshape", &[x, &shape], Vec::new()))
}

/// Every `step`-th element of an axis. An axis that depends on the batch size must be read to its end.
fn slice(step: &Step, x: &str, graph: &mut Graph) -> Result<String, String> {
    let axis = step.axis("axis")?;
    let (start, stride) = (step.integer("start")?, step.integer("step")?);
    let (from, to) = (step.operand(0)?[axis], step.output()?[axis]);
    let end = match (from, to) {
        (_, Dim::Fixed(len)) => {
            let end = start + len as i64 * stride;
            if end < 0 { i64::MIN } else { end }
        }
        (Dim::Batch(all), Dim::Batch(part)) if start == 0 && stride > 0 && part as i64 * stride == all as i64 => {
            i64::MAX
        }
        (from, to) if from == to && start == 0 && stride == 1 => i64::MAX,
        _ => {
            return Err(
                "its length depends on the batch size\n  rule: a slice of the batch has a fixed length or is all of it"
                    .into(),
            );
        }
    };
    let [start, end, axis, stride] = [start, end, axis as i64, stride].map(|value| graph.integers(&[value]));
    Ok(graph.last("Slice", &[x, &start, &end, &axis, &stride], Vec::new()))
}

/// A sum or mean of x, the operand of `sum`, over the axes that `sum` makes 1, in the shape `to`.
pub(super) fn reduce(graph: &mut Graph, operator: &str, x: &str, sum: &Step, to: &[Dim]) -> Result<String, String> {
    let (from, kept) = (sum.operand(0)?, sum.output()?);
    // A shape of lower rank is aligned at the last axis.
    let front = from.len() - kept.len();
    let at = |axis: usize| if axis < front { Dim::Fixed(1) } else { kept[axis - front] };
    let reduced: Vec<usize> = (0..from.len()).filter(|&axis| at(axis) != from[axis]).collect();
    let axes: Vec<i64> = reduced.iter().map(|&axis| axis as i64).collect();
    let with_ones: Vec<Dim> = (0..from.len()).map(at).collect();
    let without: Vec<Dim> = (0..from.len()).filter(|axis| !reduced.contains(axis)).map(at).collect();
    let keepdims = if to == with_ones { Some(1) } else { (to == without).then_some(0) };
    // The axes of a sum are an input in this opset, those of a mean an attribute.
    let mut inputs = vec![x.to_owned()];
    let mut attributes = vec![integer("keepdims", keepdims.unwrap_or(1))];
    if operator == "ReduceSum" {
        inputs.push(graph.integers(&axes));
    } else {
        attributes.push(integers("axes", &axes));
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    if keepdims.is_some() {
        return Ok(graph.last(operator, &inputs, attributes));
    }
    let sum = graph.node(operator, &inputs, attributes);
    reshape(&sum, &with_ones, to, graph)
}
