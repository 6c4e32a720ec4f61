//! The rules of ops that rearrange elements: which elements of an axis each part of a result has.

use std::ops::Range;

use super::{axis, fail};
use crate::error::ShapeError;
use crate::shape::Shape;

/// Resolves axes, each of which may be given once; negative axes count from the last.
///
/// # Errors
/// If an axis is out of range or given twice.
pub fn axes(op: &str, shape: Shape, list: &[isize]) -> Result<Vec<usize>, ShapeError> {
    let mut found = Vec::with_capacity(list.len());
    for &given in list {
        let index = axis(op, shape, given)?;
        if found.contains(&index) {
            return fail(format!(
                "{op}: axis {index} is given twice\n  x = {shape}\n  axes {list:?}\n  rule: each once"
            ));
        }
        found.push(index);
    }
    Ok(found)
}

/// Resolves the position of the new axis of a stack.
///
/// # Errors
/// If there are no parts, two shapes differ or the position is out of range.
pub fn stack(shapes: &[Shape], at: isize) -> Result<usize, ShapeError> {
    let Some(&first) = shapes.first() else {
        return fail("stack: no parts\n  rule: at least one part".into());
    };
    if let Some((i, shape)) = shapes.iter().enumerate().find(|&(_, shape)| *shape != first) {
        return fail(format!(
            "stack: part {i} does not match part 0\n  part 0 = {first}\n  part {i} = {shape}\n  rule: all shapes are equal"
        ));
    }
    axis("stack", Shape::new(&vec![1; first.rank() + 1]), at)
}

/// The ranges of an axis whose lengths are `sizes`.
///
/// # Errors
/// If the axis is out of range or the lengths do not add up to its length.
pub fn split(shape: Shape, along: isize, sizes: &[usize]) -> Result<Vec<Range<usize>>, ShapeError> {
    let along = axis("split", shape, along)?;
    if sizes.iter().sum::<usize>() != shape[along] {
        return fail(format!(
            "split: the lengths {sizes:?} do not add up to axis {along}\n  x = {shape}\n  rule: Σ lengths == x.shape[{along}]"
        ));
    }
    let mut end = 0;
    let next = |&size: &usize| {
        end += size;
        end - size..end
    };
    Ok(sizes.iter().map(next).collect())
}

/// The lengths of parts of `size` elements of an axis, of which the last may be shorter; one empty part of an empty axis.
///
/// # Errors
/// If the axis is out of range or the size is 0.
pub fn parts_of(op: &str, shape: Shape, along: isize, size: usize) -> Result<Vec<usize>, ShapeError> {
    let along = axis(op, shape, along)?;
    if size == 0 {
        return fail(format!("{op}: parts of 0 elements\n  x = {shape}\n  rule: at least one"));
    }
    let len = shape[along];
    Ok((0..len.div_ceil(size).max(1)).map(|i| size.min(len - i * size)).collect())
}

/// The lengths of `n` parts of an axis, equal but for the last; fewer if that many are not needed (as `torch.chunk`).
///
/// # Errors
/// If the axis is out of range or there are 0 parts.
pub fn chunks(shape: Shape, along: isize, n: usize) -> Result<Vec<usize>, ShapeError> {
    let len = shape[axis("chunk", shape, along)?];
    match (n, len) {
        (0, _) => fail(format!("chunk: 0 parts\n  x = {shape}\n  rule: at least one")),
        (_, 0) => Ok(vec![0; n]),
        _ => parts_of("chunk", shape, along, len.div_ceil(n)),
    }
}

/// The shape whose axes are repeated, with axes of length 1 in front if there are more numbers than axes.
///
/// # Errors
/// If there are fewer numbers than axes.
pub fn repeat(shape: Shape, times: &[usize]) -> Result<Shape, ShapeError> {
    match times.len().checked_sub(shape.rank()) {
        Some(front) => Ok(Shape::new(&[&vec![1; front][..], &shape].concat())),
        None => fail(format!(
            "repeat: {} numbers for {} axes\n  x = {shape}\n  times {times:?}\n  rule: one number for each axis, more prepend axes",
            times.len(),
            shape.rank()
        )),
    }
}

/// Each axis that is rolled, and the place of the element that comes first.
///
/// # Errors
/// If an axis is out of range or the numbers of shifts and axes differ.
pub fn roll(shape: Shape, shifts: &[isize], list: &[isize]) -> Result<Vec<(usize, usize)>, ShapeError> {
    if shifts.len() != list.len() {
        return fail(format!(
            "roll: {} shifts for {} axes\n  x = {shape}\n  shifts {shifts:?}, axes {list:?}\n  rule: one shift for each axis; one shift and no axes roll the flattened tensor",
            shifts.len(),
            list.len()
        ));
    }
    let split = |(&shift, &along): (&isize, &isize)| {
        let along = axis("roll", shape, along)?;
        let len = shape[along];
        Ok((along, len - shift.rem_euclid(len.max(1) as isize) as usize))
    };
    shifts.iter().zip(list).map(split).collect()
}

/// The axis and the number of windows of `size` elements at a distance of `step` in it.
///
/// # Errors
/// If the axis is out of range, the window is longer than the axis or the step is 0.
pub fn unfold(shape: Shape, along: isize, size: usize, step: usize) -> Result<(usize, usize), ShapeError> {
    let along = axis("unfold", shape, along)?;
    if size > shape[along] || step == 0 {
        return fail(format!(
            "unfold: windows of {size} elements with step {step} along axis {along}\n  x = {shape}\n  rule: size ≤ x.shape[{along}], step ≥ 1"
        ));
    }
    Ok((along, (shape[along] - size) / step + 1))
}

/// The shape of the windows of an axis in its place, (…, windows, size, …), and the order of axes that moves the elements of
/// a window to the end.
pub fn windows_last(shape: Shape, along: usize, count: usize, size: usize) -> (Shape, Vec<usize>) {
    let apart = Shape::new(&[&shape[..along], &[count, size], &shape[along + 1..]].concat());
    let mut order: Vec<usize> = (0..apart.rank()).collect();
    order[along + 1..].rotate_left(1);
    (apart, order)
}

/// The shape of a grid of vectors, and the shape of each before it is broadcast to that; a scalar is a vector of one element.
///
/// # Errors
/// If one has more than one axis.
pub fn meshgrid(shapes: &[Shape]) -> Result<(Shape, Vec<Shape>), ShapeError> {
    if let Some((i, shape)) = shapes.iter().enumerate().find(|(_, shape)| shape.rank() > 1) {
        return fail(format!("meshgrid: part {i} has shape {shape}\n  rule: one axis, (n)"));
    }
    let grid = Shape::new(&shapes.iter().map(Shape::numel).collect::<Vec<_>>());
    let ones = Shape::new(&vec![1; shapes.len()]);
    Ok((grid, (0..shapes.len()).map(|axis| ones.with(axis, grid[axis])).collect()))
}

/// Both operands are vectors.
///
/// # Errors
/// If one has not one axis.
pub fn vectors(op: &str, a: Shape, b: Shape) -> Result<(), ShapeError> {
    if (a.rank(), b.rank()) == (1, 1) {
        return Ok(());
    }
    fail(format!("{op}: both operands have one axis\n  a (n) = {a}\n  b (m) = {b}\n  rule: vectors"))
}

/// The lengths of the last two axes.
///
/// # Errors
/// If there are fewer.
pub fn matrix(op: &str, shape: Shape) -> Result<[usize; 2], ShapeError> {
    match *shape {
        [.., rows, columns] => Ok([rows, columns]),
        _ => fail(format!("{op}: a matrix has two axes\n  x (…,n,m) = {shape}\n  rule: at least two axes")),
    }
}

/// A diagonal as a slice: the axes in order, its two last; those before them; and start, length and step of the slice of
/// both as one axis.
pub struct Diagonal {
    /// The order of the axes, in which the two of the diagonal are the last.
    pub order: Vec<usize>,
    /// The shape with these two axes as one.
    pub flat: Shape,
    /// The first element of the diagonal.
    pub start: usize,
    /// The number of its elements.
    pub len: usize,
    /// The distance between two of them.
    pub step: isize,
}

/// Diagonal number `offset` of two axes: that of the elements `[i, i + offset]`.
///
/// # Errors
/// If an axis is out of range or both are the same.
pub fn diagonal(shape: Shape, offset: isize, first: isize, second: isize) -> Result<Diagonal, ShapeError> {
    let pair = axes("diagonal", shape, &[first, second])?;
    let mut order: Vec<usize> = (0..shape.rank()).filter(|axis| !pair.contains(axis)).collect();
    let front: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
    order.extend(&pair);
    let (rows, columns) = (shape[pair[0]], shape[pair[1]]);
    let (down, right) = ((-offset).max(0) as usize, offset.max(0) as usize);
    let len = rows.saturating_sub(down).min(columns.saturating_sub(right));
    let start = if len == 0 { 0 } else { down * columns + right };
    Ok(Diagonal {
        order,
        flat: Shape::new(&[&front[..], &[rows * columns]].concat()),
        start,
        len,
        step: columns as isize + 1,
    })
}

/// What a tensor is padded with, besides a constant; the names are those of `torch.nn.functional.pad`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PadMode {
    /// The elements next to the edge in reverse order, without the edge: `c b | a b c | b a`.
    Reflect,
    /// The element at the edge: `a a | a b c | c c`.
    Replicate,
    /// The elements at the other edge: `b c | a b c | a b`.
    Circular,
}

/// The two sides of a padded axis as slices of it: start, length and step. If replicated, a slice of one element for all.
///
/// # Errors
/// If the axis has too few elements.
pub fn pad_sides(
    shape: Shape,
    along: usize,
    (before, after): (usize, usize),
    mode: PadMode,
) -> Result<[(usize, usize, isize); 2], ShapeError> {
    let (len, widest) = (shape[along], before.max(after));
    let (fits, rule) = match mode {
        PadMode::Reflect => (widest < len, "width < length"),
        PadMode::Replicate => (len > 0, "length ≥ 1"),
        PadMode::Circular => (widest <= len, "width ≤ length"),
    };
    if !fits && widest > 0 {
        return fail(format!(
            "pad: axis {along} of length {len} cannot be padded by ({before}, {after}) in mode {mode:?}\n  x = {shape}\n  rule: {rule}"
        ));
    }
    Ok(match mode {
        PadMode::Reflect => [(before, before, -1), (len.saturating_sub(2), after, -1)],
        PadMode::Replicate => [(0, before.min(1), 1), (len.saturating_sub(1), after.min(1), 1)],
        PadMode::Circular => [(len - before, before, 1), (0, after, 1)],
    })
}

/// The number of pairs of widths is that of the axes.
///
/// # Errors
/// If it is not.
pub fn pad(shape: Shape, widths: &[(usize, usize)]) -> Result<(), ShapeError> {
    if widths.len() == shape.rank() {
        return Ok(());
    }
    fail(format!(
        "pad: {} widths for {} axes\n  x = {shape}\n  rule: one (before, after) per axis",
        widths.len(),
        shape.rank()
    ))
}
