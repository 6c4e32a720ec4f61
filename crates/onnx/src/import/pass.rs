//! A pass over a model, which computes shapes or elements, and the operations that operators are made of.
//!
//! Each operation checks its operands first, so that a malformed model is an error and no panic, and then its result against
//! the limits, so that a small file cannot ask for much memory.

use std::cell::Cell;

use chainrule_autograd::Var;
use chainrule_tensor::{Conv2dOptions, MAX_RANK, Pool2dOptions, Shape, Tensor, TensorOf, shape_rules};

use super::value::Float;

/// The most elements of a tensor.
pub(super) const LARGEST: usize = i32::MAX as usize;
/// Where only shapes are computed, tensors of up to this many elements are computed too: they may be settings.
const SMALL: usize = 4096;
/// The most elements of all results of a pass: this many, or [`PER_INPUT`] for each element of the inputs if that is more.
const FLOOR: usize = 1 << 24;
const PER_INPUT: usize = 10_000;

pub(super) type Made<T = Float> = Result<T, String>;

pub(super) struct Pass {
    computing: bool,
    /// The elements that may still be computed.
    left: Cell<usize>,
}

/// The shape with these axes.
///
/// # Errors
/// If there are too many axes or elements, or none.
pub(super) fn shape(dims: &[usize]) -> Made<Shape> {
    if dims.len() > MAX_RANK {
        return Err(format!("a tensor of shape {dims:?}\n  rule: at most {MAX_RANK} axes"));
    }
    if dims.contains(&0) {
        return Err(format!("a tensor of shape {dims:?} has no elements\n  rule: tensors are not empty"));
    }
    let numel = dims.iter().try_fold(1usize, |n, &len| n.checked_mul(len));
    if numel.is_none_or(|n| n > LARGEST) {
        return Err(format!("a tensor of shape {dims:?} is too large\n  rule: at most {LARGEST} elements"));
    }
    Ok(Shape::new(dims))
}

/// The axis that a number stands for, in a tensor of this rank.
pub(super) fn axis(axis: i64, rank: usize) -> Made<usize> {
    let rank = rank as i64;
    let from_front = if axis < 0 { axis.saturating_add(rank) } else { axis };
    if (0..rank).contains(&from_front) {
        Ok(from_front as usize)
    } else {
        Err(format!("axis {axis} of a tensor with {rank} axes\n  rule: −{rank} ≤ axis < {rank}"))
    }
}

/// The axes that numbers stand for, each once, in ascending order.
pub(super) fn axes(numbers: &[i64], rank: usize) -> Made<Vec<usize>> {
    let mut axes = numbers.iter().map(|&number| axis(number, rank)).collect::<Made<Vec<usize>>>()?;
    axes.sort_unstable();
    if axes.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(format!("axes {numbers:?} of a tensor with {rank} axes\n  rule: each axis once"));
    }
    Ok(axes)
}

impl Pass {
    /// A pass that computes shapes, and elements only where there are few.
    pub(super) fn shapes(inputs: usize) -> Self {
        Self { computing: false, left: Cell::new(inputs.saturating_mul(PER_INPUT).max(FLOOR)) }
    }

    /// A pass that computes elements.
    pub(super) fn elements(inputs: usize) -> Self {
        Self { computing: true, ..Self::shapes(inputs) }
    }

    /// A result of this shape, which `compute` computes if the elements are needed.
    pub(super) fn float(&self, dims: &[usize], from: &[&Float], compute: impl FnOnce() -> Var) -> Made {
        let shape = shape(dims)?;
        if let Some(empty) = from.iter().find(|x| x.shape.numel() == 0) {
            return Err(format!("an input of shape {} has no elements\n  rule: tensors are not empty", empty.shape));
        }
        let Some(left) = self.left.get().checked_sub(shape.numel()) else {
            return Err(format!(
                "a tensor of shape {shape} is too large\n  rule: all results together have at most {FLOOR} elements, or {PER_INPUT} for each element of the inputs"
            ));
        };
        self.left.set(left);
        let small = shape.numel() <= SMALL && from.iter().all(|x| x.is_known() && x.shape.numel() <= SMALL);
        if !self.computing && !small {
            return Ok(Float::unknown(shape));
        }
        let made = Float::new(compute());
        debug_assert_eq!(made.shape, shape, "the shape was computed before");
        Ok(made)
    }

    pub(super) fn unary(&self, x: &Float, f: impl FnOnce(&Var) -> Var) -> Made {
        self.float(&x.shape, &[x], || f(x.var()))
    }

    pub(super) fn binary(&self, op: &str, a: &Float, b: &Float, f: impl FnOnce(&Var, &Var) -> Var) -> Made {
        let shape = shape_rules::broadcast(op, a.shape, b.shape).map_err(|error| error.to_string())?;
        self.float(&shape, &[a, b], || f(a.var(), b.var()))
    }

    /// a where the mask is set, else b.
    pub(super) fn select(&self, mask: &TensorOf<u8>, a: &Float, b: &Float) -> Made {
        let broadcast = |a, b| shape_rules::broadcast("where", a, b).map_err(|error| error.to_string());
        // Checked in between: a shape of three sizes multiplied may overflow.
        let shape = broadcast(mask.shape(), shape(&broadcast(a.shape, b.shape)?)?)?;
        self.float(&shape, &[a, b], || a.var().select(mask, b.var()))
    }

    pub(super) fn reshape(&self, x: &Float, dims: &[usize]) -> Made {
        let shape = shape(dims)?;
        if shape.numel() != x.shape.numel() {
            return Err(format!("{} cannot become {shape}\n  rule: the number of elements is unchanged", x.shape));
        }
        self.float(dims, &[x], || x.var().reshape(shape))
    }

    /// `order` is a permutation of the axes.
    pub(super) fn permute(&self, x: &Float, order: &[usize]) -> Made {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..x.rank()) {
            return Err(format!("the order {order:?} for an input {}\n  rule: each axis once", x.shape));
        }
        let dims: Vec<usize> = order.iter().map(|&axis| x.shape[axis]).collect();
        self.float(&dims, &[x], || x.var().permute(order))
    }

    /// `len` elements of an axis, from `start` in steps; all are inside.
    pub(super) fn slice(&self, x: &Float, axis: usize, start: usize, len: usize, step: isize) -> Made {
        let mut dims = x.shape.to_vec();
        dims[axis] = len;
        self.float(&dims, &[x], || x.var().slice(axis as isize, start, len, step))
    }

    pub(super) fn pad(&self, x: &Float, widths: &[(usize, usize)], value: f64) -> Made {
        if widths.iter().all(|&width| width == (0, 0)) {
            return Ok(x.clone());
        }
        let padded = |(&len, &(before, after)): (&usize, &(usize, usize))| len.checked_add(before)?.checked_add(after);
        let dims: Option<Vec<usize>> = x.shape.iter().zip(widths).map(padded).collect();
        let dims = dims.ok_or_else(|| format!("padding {widths:?} is too large"))?;
        self.float(&dims, &[x], || x.var().pad(widths, value))
    }

    pub(super) fn concat(&self, parts: &[&Float], axis: usize) -> Made {
        let shapes: Vec<Shape> = parts.iter().map(|part| part.shape).collect();
        let shape = shape_rules::concat(&shapes, axis as isize).map_err(|error| error.to_string())?;
        self.float(&shape, parts, || {
            Var::concat(&parts.iter().map(|part| part.var()).collect::<Vec<_>>(), axis as isize)
        })
    }

    pub(super) fn expand(&self, x: &Float, dims: &[usize]) -> Made {
        let shape = shape_rules::broadcast("expand", x.shape, shape(dims)?).map_err(|error| error.to_string())?;
        if shape == x.shape {
            return Ok(x.clone());
        }
        self.float(&shape, &[x], || x.var().broadcast_to(shape))
    }

    pub(super) fn matmul(&self, a: &Float, b: &Float) -> Made {
        let shape = shape_rules::matmul(a.shape, b.shape).map_err(|error| error.to_string())?;
        self.float(&shape, &[a, b], || a.var().matmul(b.var()))
    }

    pub(super) fn linear(&self, x: &Float, w: &Float, b: Option<&Float>) -> Made {
        let bias = b.map(|b| b.shape);
        let shape = shape_rules::linear(x.shape, w.shape, bias).map_err(|error| error.to_string())?;
        let from: Vec<&Float> = [x, w].into_iter().chain(b).collect();
        self.float(&shape, &from, || x.var().linear(w.var(), b.map(Float::var)))
    }

    pub(super) fn conv2d(&self, x: &Float, w: &Float, b: Option<&Float>, options: Conv2dOptions) -> Made {
        let Conv2dOptions { stride, padding, groups, .. } = options;
        // The rule multiplies these.
        if x.rank() == 4 && w.rank() == 4 && groups <= x.shape[1] && !stride.contains(&0) {
            let place = |i: usize| (x.shape[2 + i] + 2 * padding[i]) / stride[i] + 1;
            bounded(&[x.shape[0], w.shape[0], place(0), place(1)])?;
        } else if groups > 1 && (x.rank() != 4 || groups > x.shape[1]) {
            return Err(format!(
                "{groups} groups for an input {}\n  rule: channels are divided among the groups",
                x.shape
            ));
        }
        let bias = b.map(|b| b.shape);
        let shape = shape_rules::conv2d(x.shape, w.shape, bias, options).map_err(|error| error.to_string())?;
        let from: Vec<&Float> = [x, w].into_iter().chain(b).collect();
        self.float(&shape, &from, || x.var().conv2d(w.var(), b.map(Float::var), options))
    }

    pub(super) fn conv_transpose2d(
        &self,
        x: &Float,
        w: &Float,
        b: Option<&Float>,
        options: Conv2dOptions,
        output_padding: [usize; 2],
    ) -> Made {
        let Conv2dOptions { stride, dilation, groups, .. } = options;
        if x.rank() == 4 && w.rank() == 4 && groups <= x.shape[1] {
            let place = |i: usize| x.shape[2 + i] * stride[i] + dilation[i] * w.shape[2 + i] + output_padding[i] + 1;
            bounded(&[x.shape[0], w.shape[1], groups, place(0), place(1)])?;
        } else if groups > 1 && (x.rank() != 4 || groups > x.shape[1]) {
            return Err(format!(
                "{groups} groups for an input {}\n  rule: channels are divided among the groups",
                x.shape
            ));
        }
        let bias = b.map(|b| b.shape);
        let shape = shape_rules::conv_transpose2d(x.shape, w.shape, bias, options, output_padding)
            .map_err(|error| error.to_string())?;
        let from: Vec<&Float> = [x, w].into_iter().chain(b).collect();
        self.float(&shape, &from, || x.var().conv_transpose2d(w.var(), b.map(Float::var), options, output_padding))
    }

    pub(super) fn max_pool2d(&self, x: &Float, options: Pool2dOptions) -> Made {
        self.float(&pooled("max_pool2d", x, options)?, &[x], || x.var().max_pool2d(options))
    }

    pub(super) fn avg_pool2d(&self, x: &Float, options: Pool2dOptions) -> Made {
        self.float(&pooled("avg_pool2d", x, options)?, &[x], || x.var().avg_pool2d(options))
    }

    /// The mean of all pixels of an image (N,C,H,W).
    pub(super) fn global_average(&self, x: &Float) -> Made {
        self.float(&[x.shape[0], x.shape[1], 1, 1], &[x], || x.var().adaptive_avg_pool2d([1, 1]))
    }

    /// The maximum of all pixels of an image (N,C,H,W).
    pub(super) fn global_max(&self, x: &Float) -> Made {
        self.float(&[x.shape[0], x.shape[1], 1, 1], &[x], || x.var().adaptive_max_pool2d([1, 1]))
    }

    /// Resampling of an image (N,C,H,W) to a size.
    pub(super) fn resample(&self, x: &Float, size: [usize; 2], f: impl FnOnce(&Var) -> Var) -> Made {
        self.float(&[x.shape[0], x.shape[1], size[0], size[1]], &[x], || f(x.var()))
    }

    pub(super) fn batch_norm(&self, x: &Float, scale_shift: [&Float; 2], statistics: [&Float; 2], eps: f64) -> Made {
        let channels = if x.rank() < 2 { 0 } else { x.shape[1] };
        for (what, row) in ["scale", "B", "mean", "var"].into_iter().zip(scale_shift.into_iter().chain(statistics)) {
            if row.shape != [channels] {
                return Err(format!(
                    "{what} has shape {}, the input {}\n  rule: input (N,C,…), {what} (C)",
                    row.shape, x.shape
                ));
            }
        }
        let [scale, shift] = scale_shift;
        let [mean, variance] = statistics;
        self.float(&x.shape, &[x, scale, shift, mean, variance], || {
            x.var().batch_norm_inference(scale.var(), shift.var(), &mean.var().value(), &variance.var().value(), eps)
        })
    }

    /// A reduction over axes in ascending order; no axes leave the input as it is.
    pub(super) fn reduce(
        &self,
        x: &Float,
        axes: &[usize],
        keep: bool,
        f: impl FnOnce(&Var, &[isize], bool) -> Var,
    ) -> Made {
        if axes.is_empty() {
            return Ok(x.clone());
        }
        let kept = |(axis, &len): (usize, &usize)| match (axes.contains(&axis), keep) {
            (true, true) => Some(1),
            (true, false) => None,
            (false, _) => Some(len),
        };
        let dims: Vec<usize> = x.shape.iter().enumerate().filter_map(kept).collect();
        let axes: Vec<isize> = axes.iter().map(|&axis| axis as isize).collect();
        self.float(&dims, &[x], || f(x.var(), &axes, keep))
    }

    /// Elements along an axis by index; the index has x's shape except along the axis.
    pub(super) fn gather(&self, x: &Float, axis: usize, index: &TensorOf<i32>) -> Made {
        self.float(&index.shape(), &[x], || x.var().gather(axis as isize, index))
    }

    /// A constant.
    pub(super) fn constant(&self, dims: &[usize], value: impl FnOnce(Shape) -> Tensor) -> Made {
        let shape = shape(dims)?;
        self.float(dims, &[], || Var::constant(value(shape)))
    }
}

/// An error if a product overflows or is more than the largest tensor.
fn bounded(dims: &[usize]) -> Made<()> {
    let numel = dims.iter().try_fold(1usize, |n, &len| n.checked_mul(len));
    match numel {
        Some(n) if n <= LARGEST => Ok(()),
        _ => Err(format!("the result has up to {dims:?} elements\n  rule: at most {LARGEST} elements")),
    }
}

fn pooled(op: &str, x: &Float, options: Pool2dOptions) -> Made<[usize; 4]> {
    if x.rank() == 4 {
        bounded(&[x.shape[2] + 2 * options.padding[0]])?;
        bounded(&[x.shape[3] + 2 * options.padding[1]])?;
    }
    let [rows, columns] = shape_rules::pool2d(op, x.shape, options).map_err(|error| error.to_string())?;
    Ok([x.shape[0], x.shape[1], rows.len(), columns.len()])
}
