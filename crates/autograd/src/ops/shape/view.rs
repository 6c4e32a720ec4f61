//! Views: the same elements with another shape or order, without copying if strides can express it.

use chainrule_tensor::{Float, Shape, TensorOf};

use crate::attribute::Attribute;
use crate::operation::{Operation, Rule};
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// The same elements, in row-major order, with another shape; `dx` is dy with x's shape.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[track_caller]
    #[must_use]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Self {
        Self::record(self.value().reshape(shape.into()), [self], Reshape)
    }

    /// Merges all axes from the second on: (N,C,H,W) → (N, C·H·W), in logical order for any strides.
    ///
    /// # Panics
    /// If there are fewer than two axes.
    #[track_caller]
    #[must_use]
    pub fn flatten(&self) -> Self {
        Self::record(self.value().flatten(1), [self], Reshape)
    }

    /// Removes an axis of length 1.
    ///
    /// # Panics
    /// If the axis does not exist or is longer.
    #[track_caller]
    #[must_use]
    pub fn squeeze(&self, axis: isize) -> Self {
        Self::record(self.value().squeeze(axis), [self], Reshape)
    }

    /// Inserts an axis of length 1 before `axis`; −1 appends one at the end.
    ///
    /// # Panics
    /// If the position is out of range.
    #[track_caller]
    #[must_use]
    pub fn unsqueeze(&self, axis: isize) -> Self {
        Self::record(self.value().unsqueeze(axis), [self], Reshape)
    }

    /// Permutes the axes: axis `i` of the result is axis `order[i]` of this; dx is dy with the inverse permutation.
    ///
    /// # Panics
    /// If `order` is not a permutation of the axes.
    #[track_caller]
    #[must_use]
    pub fn permute(&self, order: &[usize]) -> Self {
        Self::record(self.value().permute(order), [self], Permute(order.to_vec()))
    }

    /// Swaps two axes; negative numbers count from the last.
    ///
    /// # Panics
    /// If the axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn transpose(&self, a: isize, b: isize) -> Self {
        Self::record(self.value().transpose(a, b), [self], Transpose(a, b))
    }

    /// `len` elements of an axis: `start`, `start + step`, …; the step may be negative. dx is dy at these positions and 0
    /// elsewhere.
    ///
    /// # Panics
    /// If the axis or an index is out of range.
    #[track_caller]
    #[must_use]
    pub fn slice(&self, axis: isize, start: usize, len: usize, step: isize) -> Self {
        let rule = Slice { axis, start, step };
        Self::record(self.value().slice(axis, start, len, step), [self], rule)
    }

    /// The elements in `range` of an axis.
    ///
    /// # Panics
    /// If the axis or the range is out of range.
    #[track_caller]
    #[must_use]
    pub fn narrow(&self, axis: isize, range: std::ops::Range<usize>) -> Self {
        self.slice(axis, range.start, range.len(), 1)
    }
}

struct Reshape;

impl<T: Float> Rule<T> for Reshape {
    describe! {
        name: "reshape",
        formula: "y = reshape(x)",
        derivative: "dx = reshape(dy)",
        saved: "nothing",
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(dy.reshape(op.parent(0).shape()))]
    }
}

struct Permute(Vec<usize>);

impl<T: Float> Rule<T> for Permute {
    describe! {
        name: "permute",
        formula: "y = permute(x, order)",
        derivative: "dx = permute(dy, order⁻¹)",
        saved: "order",
    }
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("order", &self.0[..])]
    }
    fn backward(&self, _op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let mut back = vec![0; self.0.len()];
        for (to, &from) in self.0.iter().enumerate() {
            back[from] = to;
        }
        vec![Some(dy.permute(&back))]
    }
}

struct Transpose(isize, isize);

impl<T: Float> Rule<T> for Transpose {
    describe! {
        name: "transpose",
        formula: "y = xᵀ",
        derivative: "dx = dyᵀ",
        saved: "nothing",
    }
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("axes", &[self.0, self.1][..])]
    }
    fn backward(&self, _op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(dy.transpose(self.0, self.1))]
    }
}

struct Slice {
    axis: isize,
    start: usize,
    step: isize,
}

impl<T: Float> Rule<T> for Slice {
    describe! {
        name: "slice",
        formula: "y[…,i,…] = x[…, start + i·step, …]",
        derivative: "dx[…,k,…] = Σ_{i : start + i·step = k} dy[…,i,…]",
        saved: "axis, start, step",
    }
    fn attributes(&self) -> Vec<Attribute> {
        attributes(self.axis, self.start, self.step)
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(unslice(dy, op.parent(0).shape(), self.axis, self.start, self.step))]
    }
}

fn attributes(axis: isize, start: usize, step: isize) -> Vec<Attribute> {
    vec![Attribute::new("axis", axis), Attribute::new("start", start), Attribute::new("step", step)]
}

/// The adjoint of a slice: dy at the positions of the slice in a tensor of zeros.
fn unslice<T: Float>(dy: &VarOf<T>, shape: Shape, axis: isize, start: usize, step: isize) -> VarOf<T> {
    let mut dx = TensorOf::full_on(dy.device(), shape, T::ZERO);
    dx.assign_slice(axis, start, step, &dy.value());
    VarOf::record(dx, [dy], Unslice { axis, start, step })
}

struct Unslice {
    axis: isize,
    start: usize,
    step: isize,
}

impl<T: Float> Rule<T> for Unslice {
    describe! {
        name: "slice backward",
        formula: "dx[…,k,…] = Σ_{i : start + i·step = k} dy[…,i,…]",
        derivative: "d(dy)[…,i,…] = dz[…, start + i·step, …]",
        saved: "axis, start, step",
    }
    fn attributes(&self) -> Vec<Attribute> {
        attributes(self.axis, self.start, self.step)
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let shape = op.parent(0).shape();
        let axis = if self.axis < 0 { self.axis + shape.rank() as isize } else { self.axis };
        vec![Some(dz.slice(self.axis, self.start, shape[axis as usize], self.step))]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn gradients_pass_through_chains_of_views() {
        let x = Var64::parameter("x", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        let y = x.transpose(0, 1).slice(0, 2, 2, -2).reshape(4); // 3 6 1 4
        assert_eq!(y.value().to_vec(), [3.0, 6.0, 1.0, 4.0]);
        let weights = Var64::constant([1.0, 2.0, 3.0, 4.0]);
        assert_eq!((y * weights).sum().backward()[&x].to_vec(), [3.0, 0.0, 1.0, 4.0, 0.0, 2.0]);
    }
}
