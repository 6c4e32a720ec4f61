//! Layouts: the position of each element in a buffer. Views are layouts over the same buffer.

use crate::error::ShapeError;
use crate::shape::{MAX_RANK, Shape};

/// Element `[i, j, …]` of a tensor is at `offset + i·strides[0] + j·strides[1] + …` in its buffer.
///
/// A stride is 0 along a broadcast axis and negative along a reversed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    shape: Shape,
    strides: [isize; MAX_RANK],
    offset: usize,
}

impl Layout {
    /// The row-major layout of a shape: the last axis is contiguous.
    #[inline]
    pub fn contiguous(shape: Shape) -> Self {
        let mut strides = [0; MAX_RANK];
        let mut step = 1;
        for (stride, &len) in strides.iter_mut().zip(&*shape).rev() {
            *stride = step as isize;
            step *= len.max(1);
        }
        Self { shape, strides, offset: 0 }
    }

    /// The dense layout whose axes, from outermost to innermost in memory, are `order`
    /// (a permutation of `0..rank`). `[0, 2, 3, 1]` is channels-last for N,C,H,W.
    pub fn dense(shape: Shape, order: &[usize]) -> Self {
        let mut strides = [0; MAX_RANK];
        let mut step = 1;
        for &axis in order.iter().rev() {
            strides[axis] = step as isize;
            step *= shape[axis].max(1);
        }
        Self { shape, strides, offset: 0 }
    }

    /// The lengths of the axes.
    #[inline]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The lengths of the axes, by reference.
    #[inline]
    pub fn shape_ref(&self) -> &Shape {
        &self.shape
    }

    /// The number of axes.
    #[inline]
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }

    /// The number of elements.
    #[inline]
    pub fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// The stride of each axis, in elements.
    #[inline]
    pub fn strides(&self) -> &[isize] {
        &self.strides[..self.shape.rank()]
    }

    /// The position of the first element in the buffer.
    #[inline]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Whether the elements are contiguous in row-major order.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1;
        for (&len, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if len != 1 && stride != step {
                return self.shape.numel() == 0;
            }
            step *= len as isize;
        }
        true
    }

    /// The axes from outermost to innermost in memory, by descending stride. Axes of length 1, whose stride has no meaning,
    /// and broadcast axes stay next to their logical neighbor.
    pub fn memory_order(&self) -> ([usize; MAX_RANK], usize) {
        let rank = self.shape.rank();
        if self.is_contiguous() {
            return (std::array::from_fn(|axis| axis), rank);
        }
        let mut order = [0; MAX_RANK];
        let mut filled = 0;
        for axis in 0..rank {
            let mut at = filled;
            let free = |a: usize| self.shape[a] == 1 || self.strides[a] == 0;
            if !free(axis) {
                // Insertion sort: move in front of axes with a smaller stride; free axes move with the axis after them.
                for slot in (0..filled).rev() {
                    let other = order[slot];
                    if free(other) {
                        continue;
                    }
                    if self.strides[other].abs() >= self.strides[axis].abs() {
                        break;
                    }
                    at = slot;
                }
            }
            order.copy_within(at..filled, at + 1);
            order[at] = axis;
            filled += 1;
        }
        (order, rank)
    }

    /// The dense layout with the same memory order of axes.
    #[must_use]
    pub fn dense_like(&self) -> Self {
        if self.is_contiguous() {
            return Self::contiguous(self.shape);
        }
        let (order, rank) = self.memory_order();
        Self::dense(self.shape, &order[..rank])
    }

    /// Whether the elements fill a range of the buffer without gaps or repetition, in some order of axes.
    pub fn is_dense(&self) -> bool {
        if self.is_contiguous() {
            return true;
        }
        self.same_strides(&self.dense_like())
    }

    /// Whether a layout of the same shape has the same strides, up to axes of length 1.
    pub(crate) fn same_strides(&self, other: &Self) -> bool {
        self.shape.numel() == 0
            || (0..self.shape.rank()).all(|a| self.shape[a] == 1 || self.strides[a] == other.strides[a])
    }

    /// Whether several elements share one position, as along a broadcast axis.
    #[inline]
    pub fn repeats(&self) -> bool {
        self.shape.iter().zip(&self.strides).any(|(&len, &stride)| len > 1 && stride == 0)
    }

    /// The position in the buffer of the element at `index`.
    #[inline]
    pub fn position(&self, index: &[usize]) -> usize {
        debug_assert_eq!(index.len(), self.shape.rank());
        let distance: isize = index.iter().zip(self.strides()).map(|(&i, &s)| i as isize * s).sum();
        (self.offset as isize + distance) as usize
    }

    /// Permutes the axes.
    ///
    /// # Errors
    /// If `order` is not a permutation of the axes.
    pub fn permute(&self, order: &[usize]) -> Result<Self, ShapeError> {
        let rank = self.shape.rank();
        let mut seen = [false; MAX_RANK];
        let valid = order.len() == rank && order.iter().all(|&a| a < rank && !std::mem::replace(&mut seen[a], true));
        if !valid {
            return Err(ShapeError::new(format!(
                "permute: {order:?} is not a permutation of the {rank} axes of {}\n  rule: every axis from 0 to {} once",
                self.shape,
                rank.saturating_sub(1)
            )));
        }
        let mut out = *self;
        let mut dims = [0; MAX_RANK];
        for (to, &from) in order.iter().enumerate() {
            dims[to] = self.shape[from];
            out.strides[to] = self.strides[from];
        }
        out.shape = Shape::new(&dims[..rank]);
        Ok(out)
    }

    /// Elements `start`, `start + step`, … of one axis, `len` of them; a negative step walks backwards.
    ///
    /// # Errors
    /// If the axis or an element is out of range.
    pub fn slice(&self, axis: usize, start: usize, len: usize, step: isize) -> Result<Self, ShapeError> {
        let rule = |what: String| ShapeError::new(format!("slice: {what}\n  x = {}", self.shape));
        if axis >= self.shape.rank() {
            return Err(rule(format!("axis {axis} is out of range")));
        }
        let last = start as isize + step * (len as isize - 1);
        let inside = |i: isize| i >= 0 && (i as usize) < self.shape[axis];
        if len > 0 && !(inside(start as isize) && inside(last)) || len == 0 && start > self.shape[axis] {
            return Err(rule(format!(
                "{len} elements from {start} with step {step} are out of range for axis {axis} of length {}",
                self.shape[axis]
            )));
        }
        let mut out = *self;
        out.shape = self.shape.with(axis, len);
        // Without elements, a place along this axis may be beyond the buffer.
        if out.shape.numel() > 0 {
            out.offset = (self.offset as isize + start as isize * self.strides[axis]) as usize;
        }
        out.strides[axis] = self.strides[axis] * step;
        Ok(out)
    }

    /// Broadcasts to a shape as `NumPy` does: repeats axes of length 1 and adds leading axes, without copying.
    ///
    /// # Errors
    /// If an axis is neither 1 nor the requested length.
    pub fn broadcast_to(&self, shape: Shape) -> Result<Self, ShapeError> {
        let fits = shape.rank() >= self.shape.rank()
            && self.shape.iter().rev().zip(shape.iter().rev()).all(|(&from, &to)| from == to || from == 1);
        if !fits {
            return Err(ShapeError::new(format!(
                "broadcast_to: {} does not broadcast to {shape}\n  rule: aligned at the last axis, lengths are equal or 1",
                self.shape
            )));
        }
        let mut out = Self { shape, strides: [0; MAX_RANK], offset: self.offset };
        let front = shape.rank() - self.shape.rank();
        for axis in 0..self.shape.rank() {
            if self.shape[axis] == shape[front + axis] {
                out.strides[front + axis] = self.strides[axis];
            }
        }
        Ok(out)
    }

    /// Another shape over the same elements in row-major order; `None` if strides cannot express it and a copy is needed.
    pub fn reshape(&self, shape: Shape) -> Option<Self> {
        if self.is_contiguous() {
            return Some(Self { offset: self.offset, ..Self::contiguous(shape) });
        }
        let mut out = Self { shape, strides: [0; MAX_RANK], offset: self.offset };
        // Split both shapes into the shortest runs of axes with equal products; each old run must have a single stride.
        let (old, new) = (&*self.shape, &*shape);
        let (mut i, mut j) = (0, 0);
        while i < old.len() || j < new.len() {
            let (from, to) = (i, j);
            let (mut a, mut b) = (1, 1);
            loop {
                if a == b && a > 1 && i > from && j > to {
                    break;
                }
                if a <= b && i < old.len() {
                    a *= old[i];
                    i += 1;
                } else if j < new.len() {
                    b *= new[j];
                    j += 1;
                } else {
                    break;
                }
            }
            let run: Vec<usize> = (from..i).filter(|&k| old[k] != 1).collect();
            for pair in run.windows(2) {
                if self.strides[pair[0]] != self.strides[pair[1]] * old[pair[1]] as isize {
                    return None;
                }
            }
            let mut step = run.last().map_or(1, |&k| self.strides[k]);
            for k in (to..j).rev() {
                out.strides[k] = step;
                step *= new[k] as isize;
            }
        }
        Some(out)
    }
}
