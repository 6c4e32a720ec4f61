//! The shape rules of all ops: input shapes to output shape.
//!
//! They return `Result`, so that a program that builds a net from user input can check it first. Ops panic with the same
//! text.

pub mod arrange;
mod pool;

pub use pool::{Pool2dOptions, Window, adaptive_pool2d, pool2d};

use crate::error::ShapeError;
use crate::shape::Shape;

type Rule = Result<Shape, ShapeError>;

/// Fails with a text that gives the op, the mismatch, the operands with their named dimensions and the rule.
fn fail<T>(text: String) -> Result<T, ShapeError> {
    Err(ShapeError::new(text))
}

/// `NumPy`'s broadcasting of two shapes.
///
/// # Errors
/// If the lengths of an axis, aligned at the last axis, differ and neither is 1.
pub fn broadcast(op: &str, a: Shape, b: Shape) -> Rule {
    let rank = a.rank().max(b.rank());
    let mut out = [0; crate::shape::MAX_RANK];
    for (axis, slot) in out[..rank].iter_mut().enumerate() {
        let of = |s: &Shape| (axis + s.rank()).checked_sub(rank).map_or(1, |i| s[i]);
        *slot = match (of(&a), of(&b)) {
            (x, y) if x == y || y == 1 => x,
            (1, y) => y,
            (x, y) => {
                return fail(format!(
                    "{op}: shapes do not broadcast, axis {axis} has lengths {x} and {y}\n  a = {a}\n  b = {b}\n  rule: aligned at the last axis, lengths are equal or 1"
                ));
            }
        };
    }
    Ok(Shape::new(&out[..rank]))
}

/// Resolves an axis; a negative axis counts from the last.
///
/// # Errors
/// If the axis is out of range.
pub fn axis(op: &str, shape: Shape, axis: isize) -> Result<usize, ShapeError> {
    let rank = shape.rank() as isize;
    let index = if axis < 0 { axis + rank } else { axis };
    if (0..rank).contains(&index) {
        Ok(index as usize)
    } else {
        fail(format!("{op}: axis {axis} is out of range\n  x = {shape}\n  rule: −{rank} ≤ axis < {rank}"))
    }
}

/// `(…, M, K) · (…, K, N) → (…, M, N)`, leading axes broadcast. A vector (K) on the left is a row, on the right a column,
/// and the result has no such axis, as `torch.matmul` and `np.matmul`.
///
/// # Errors
/// If an operand has no axes, K differs or the leading axes do not broadcast.
pub fn matmul(a: Shape, b: Shape) -> Rule {
    let text = |what: String| {
        format!("matmul: {what}\n  a (…,M,K) = {a}\n  b (…,K,N) = {b}\n  rule: a.K == b.K; a vector is (K)")
    };
    if a.rank() == 0 || b.rank() == 0 {
        return fail(text("both operands need at least one axis".into()));
    }
    let (rows, k) = a.split_at(a.rank() - 1);
    let (k2, columns) = if b.rank() == 1 { (b[0], &b[..0]) } else { (b[b.rank() - 2], &b[b.rank() - 1..]) };
    if k[0] != k2 {
        return fail(text(format!("inner dimensions differ, a has K = {}, b has K = {k2}", k[0])));
    }
    let (lead, rows) = rows.split_at(rows.len().saturating_sub(1));
    let batch = broadcast("matmul", Shape::new(lead), Shape::new(&b[..b.rank().saturating_sub(2)]))?;
    Ok(Shape::new(&[&*batch, rows, columns].concat()))
}

/// `x (N, I) · w (O, I)ᵀ + b (O) → (N, O)`.
///
/// # Errors
/// If x or w is not a matrix, or the features do not match.
pub fn linear(x: Shape, w: Shape, b: Option<Shape>) -> Rule {
    let text = |what: String| {
        let b = b.map_or(String::new(), |b| format!("\n  bias (O) = {b}"));
        format!(
            "linear: {what}\n  input (N,I)  = {x}\n  weight (O,I) = {w}{b}\n  rule: input.I == weight.I, bias.O == weight.O"
        )
    };
    if x.rank() != 2 || w.rank() != 2 {
        return fail(text("input and weight are matrices".into()));
    }
    if x[1] != w[1] {
        return fail(text(format!("weight expects {} features, input has {}", w[1], x[1])));
    }
    if let Some(b) = b.filter(|b| *b != [w[0]]) {
        return fail(text(format!("bias has shape {b}, weight has {} output features", w[0])));
    }
    Ok(Shape::from([x[0], w[0]]))
}

/// The options of a convolution; pairs are `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dOptions {
    /// The distance between neighboring outputs, in input pixels.
    pub stride: [usize; 2],
    /// The rows and columns of zeros on each side.
    pub padding: [usize; 2],
    /// The distance between neighboring kernel elements, in input pixels.
    pub dilation: [usize; 2],
    /// The number of groups: independent convolutions among which the channels are divided.
    pub groups: usize,
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Self { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }
}

impl Conv2dOptions {
    /// The same padding on all four sides, other options as by default.
    pub fn padded(padding: usize) -> Self {
        Self { padding: [padding; 2], ..Self::default() }
    }
}

/// The number of kernel positions along one axis: `⌊(len + 2·pad − dilation·(kernel − 1) − 1) / stride⌋ + 1`, or `None`
/// if the kernel is larger than the padded image.
fn places(len: usize, kernel: usize, stride: usize, pad: usize, dilation: usize) -> Option<usize> {
    let reach = dilation.checked_mul(kernel.checked_sub(1)?)?.checked_add(1)?;
    let padded = pad.checked_mul(2)?.checked_add(len)?;
    Some(padded.checked_sub(reach)?.checked_div(stride)? + 1)
}

/// `x (N,C,H,W), w (O,C/groups,kh,kw), b (O) → (N,O,oh,ow)`.
///
/// # Errors
/// If channels, groups or bias do not match, or the kernel is larger than the padded image.
pub fn conv2d(x: Shape, w: Shape, b: Option<Shape>, options: Conv2dOptions) -> Rule {
    let Conv2dOptions { stride, padding, dilation, groups } = options;
    let text = |what: String, rule: &str| {
        let b = b.map_or(String::new(), |b| format!("\n  bias (O)             = {b}"));
        format!("conv2d: {what}\n  input (N,C,H,W)      = {x}\n  weight (O,C/g,kh,kw) = {w}{b}\n  rule: {rule}")
    };
    if x.rank() != 4 || w.rank() != 4 {
        return fail(text("input and weight have four axes".into(), "input (N,C,H,W), weight (O,C/groups,kh,kw)"));
    }
    if groups == 0 || stride.contains(&0) || dilation.contains(&0) {
        return fail(text("stride, dilation and groups are at least 1".into(), "no option is 0"));
    }
    if x[1] != w[1] * groups {
        let plural = if w[1] * groups == 1 { "" } else { "s" };
        return fail(text(
            format!("weight expects {} input channel{plural}, input has {}", w[1] * groups, x[1]),
            "input.C == weight.C/g · groups",
        ));
    }
    if !w[0].is_multiple_of(groups) {
        return fail(text(format!("{} output channels are not divisible by {groups} groups", w[0]), "O % groups == 0"));
    }
    if let Some(b) = b.filter(|b| *b != [w[0]]) {
        return fail(text(format!("bias has shape {b}, weight has {} output channels", w[0]), "bias.O == weight.O"));
    }
    let mut out = [x[0], w[0], 0, 0];
    for i in 0..2 {
        match places(x[2 + i], w[2 + i], stride[i], padding[i], dilation[i]) {
            Some(n) => out[2 + i] = n,
            None => {
                return fail(text(
                    format!(
                        "a kernel of {}×{} (dilation {dilation:?}) is larger than an image of {}×{} padded by {padding:?}",
                        w[2], w[3], x[2], x[3]
                    ),
                    "dilation·(k − 1) + 1 ≤ image + 2·padding, k ≥ 1",
                ));
            }
        }
    }
    Ok(Shape::from(out))
}

/// `x (N,C,H,W) → (N, C·kh·kw, oh·ow)`, where `khw` = [kh, kw]: the windows of a convolution as columns.
///
/// # Errors
/// If the kernel is larger than the padded image.
pub fn im2col(x: Shape, khw: [usize; 2], options: Conv2dOptions) -> Rule {
    let channels = if x.rank() == 4 { x[1] } else { 0 };
    let y = conv2d(x, Shape::from([1, channels, khw[0], khw[1]]), None, Conv2dOptions { groups: 1, ..options })?;
    Ok(Shape::from([x[0], channels * khw[0] * khw[1], y[2] * y[3]]))
}

/// `x (N,C,H,W), w (C,O/groups,kh,kw), b (O) → (N,O,(H − 1)·stride − 2·pad + dilation·(kh − 1) + 1 + output_padding, …)`.
///
/// # Errors
/// If channels, groups or bias do not match, the output is empty, or the output padding is not smaller than the larger of
/// stride and dilation (then no convolution maps the output shape back to the input shape).
pub fn conv_transpose2d(
    x: Shape,
    w: Shape,
    b: Option<Shape>,
    options: Conv2dOptions,
    output_padding: [usize; 2],
) -> Rule {
    let Conv2dOptions { stride, padding, dilation, groups } = options;
    let text = |what: String, rule: &str| {
        let b = b.map_or(String::new(), |b| format!("\n  bias (O)             = {b}"));
        format!(
            "conv_transpose2d: {what}\n  input (N,C,H,W)      = {x}\n  weight (C,O/g,kh,kw) = {w}{b}\n  rule: {rule}"
        )
    };
    if x.rank() != 4 || w.rank() != 4 {
        return fail(text("input and weight have four axes".into(), "input (N,C,H,W), weight (C,O/groups,kh,kw)"));
    }
    if groups == 0 || stride.contains(&0) || dilation.contains(&0) || w[2] == 0 || w[3] == 0 {
        return fail(text("stride, dilation, groups and kernel are at least 1".into(), "no option is 0"));
    }
    if x[1] != w[0] || !x[1].is_multiple_of(groups) {
        return fail(text(
            format!("weight expects {} input channels in {groups} groups, input has {}", w[0], x[1]),
            "input.C == weight.C, C % groups == 0",
        ));
    }
    let channels = w[1] * groups;
    if let Some(b) = b.filter(|b| *b != [channels]) {
        return fail(text(
            format!("bias has shape {b}, weight has {channels} output channels"),
            "bias.O == weight.O/g · groups",
        ));
    }
    let mut out = [x[0], channels, 0, 0];
    for i in 0..2 {
        if output_padding[i] >= stride[i].max(dilation[i]) {
            return fail(text(
                format!("output padding {output_padding:?} with stride {stride:?} and dilation {dilation:?}"),
                "output_padding < max(stride, dilation)",
            ));
        }
        let full = (x[2 + i].max(1) - 1)
            .checked_mul(stride[i])
            .and_then(|n| n.checked_add(dilation[i].checked_mul(w[2 + i] - 1)?)?.checked_add(1 + output_padding[i]))
            .and_then(|n| n.checked_sub(padding[i].checked_mul(2)?));
        match full {
            Some(n) if n > 0 && x[2 + i] > 0 => out[2 + i] = n,
            _ => {
                return fail(text(
                    format!("the output for an image of {}×{} is empty", x[2], x[3]),
                    "the output is at least 1×1",
                ));
            }
        }
    }
    Ok(Shape::from(out))
}

/// The shape of parts concatenated along an axis.
///
/// # Errors
/// If there are no parts, or two differ along another axis.
pub fn concat(shapes: &[Shape], axis_: isize) -> Rule {
    let Some(&first) = shapes.first() else {
        return fail("concat: no parts\n  rule: at least one part".into());
    };
    let along = axis("concat", first, axis_)?;
    let mut len = 0;
    for (i, shape) in shapes.iter().enumerate() {
        if shape.rank() != first.rank() || (0..first.rank()).any(|a| a != along && shape[a] != first[a]) {
            return fail(format!(
                "concat: part {i} does not match part 0 outside axis {along}\n  part 0 = {first}\n  part {i} = {shape}\n  rule: all axes but {along} are equal"
            ));
        }
        len += shape[along];
    }
    Ok(first.with(along, len))
}

/// The shape of a gather along an axis: that of the index, which equals x's except along that axis.
///
/// # Errors
/// If index and x differ along another axis.
pub fn gather(op: &str, x: Shape, axis: usize, index: Shape) -> Rule {
    if x.rank() != index.rank() || (0..x.rank()).any(|a| a != axis && x[a] != index[a]) {
        return fail(format!(
            "{op}: the index does not match x\n  x     = {x}\n  index = {index}\n  rule: all axes but {axis} are equal"
        ));
    }
    Ok(index)
}
