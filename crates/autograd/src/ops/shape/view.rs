//! Views: the same elements with another shape or order, without copying if strides can express it.

use chainrule_tensor::{Float, Shape, TensorOf};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::ops::linear_map::{LinearMap, Text, linear};

impl<T: Float> VarOf<T> {
    /// The same elements, in row-major order, with another shape; `dx` is dy with x's shape.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[track_caller]
    #[must_use]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Self {
        linear(self, self.value().reshape(shape.into()), Reshape)
    }

    /// Merges all axes from the second on: (N,C,H,W) → (N, C·H·W), in logical order for any strides.
    ///
    /// # Panics
    /// If there are fewer than two axes.
    #[track_caller]
    #[must_use]
    pub fn flatten(&self) -> Self {
        linear(self, self.value().flatten(1), Reshape)
    }

    /// Removes an axis of length 1.
    ///
    /// # Panics
    /// If the axis does not exist or is longer.
    #[track_caller]
    #[must_use]
    pub fn squeeze(&self, axis: isize) -> Self {
        linear(self, self.value().squeeze(axis), Reshape)
    }

    /// Inserts an axis of length 1 before `axis`; −1 appends one at the end.
    ///
    /// # Panics
    /// If the position is out of range.
    #[track_caller]
    #[must_use]
    pub fn unsqueeze(&self, axis: isize) -> Self {
        linear(self, self.value().unsqueeze(axis), Reshape)
    }

    /// Permutes the axes: axis `i` of the result is axis `order[i]` of this; dx is dy with the inverse permutation.
    ///
    /// # Panics
    /// If `order` is not a permutation of the axes.
    #[track_caller]
    #[must_use]
    pub fn permute(&self, order: &[usize]) -> Self {
        linear(self, self.value().permute(order), Permute(order.to_vec()))
    }

    /// Swaps two axes; negative numbers count from the last.
    ///
    /// # Panics
    /// If the axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn transpose(&self, a: isize, b: isize) -> Self {
        linear(self, self.value().transpose(a, b), Transpose(a, b))
    }

    /// `len` elements of an axis: `start`, `start + step`, …; the step may be negative. dx is dy at these positions and 0
    /// elsewhere.
    ///
    /// # Panics
    /// If the axis or an index is out of range.
    #[track_caller]
    #[must_use]
    pub fn slice(&self, axis: isize, start: usize, len: usize, step: isize) -> Self {
        linear(self, self.value().slice(axis, start, len, step), Slice { axis, start, step })
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

#[derive(Clone)]
struct Reshape;

impl<T: Float> LinearMap<T> for Reshape {
    const TEXTS: [Text; 2] = texts! {
        "reshape": "y = reshape(x)" => "dx = reshape(dy)", saves "nothing";
        "reshape": "dx = reshape(dy)" => "d(dy) = reshape(dz)", saves "nothing";
    };
    fn apply(&self, x: &TensorOf<T>, y: Shape) -> TensorOf<T> {
        x.reshape(y)
    }
    fn adjoint(&self, dy: &TensorOf<T>, x: Shape) -> TensorOf<T> {
        dy.reshape(x)
    }
}

#[derive(Clone)]
struct Permute(Vec<usize>);

impl<T: Float> LinearMap<T> for Permute {
    const TEXTS: [Text; 2] = texts! {
        "permute": "y = permute(x, order)" => "dx = permute(dy, order⁻¹)", saves "order";
        "permute": "dx = permute(dy, order⁻¹)" => "d(dy) = permute(dz, order)", saves "order";
    };
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("order", &self.0[..])]
    }
    fn apply(&self, x: &TensorOf<T>, _y: Shape) -> TensorOf<T> {
        x.permute(&self.0)
    }
    fn adjoint(&self, dy: &TensorOf<T>, _x: Shape) -> TensorOf<T> {
        let mut inverse = vec![0; self.0.len()];
        for (to, &from) in self.0.iter().enumerate() {
            inverse[from] = to;
        }
        dy.permute(&inverse)
    }
}

#[derive(Clone)]
struct Transpose(isize, isize);

impl<T: Float> LinearMap<T> for Transpose {
    const TEXTS: [Text; 2] = texts! {
        "transpose": "y = xᵀ" => "dx = dyᵀ", saves "nothing";
        "transpose": "dx = dyᵀ" => "d(dy) = dzᵀ", saves "nothing";
    };
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("axes", &[self.0, self.1][..])]
    }
    fn apply(&self, x: &TensorOf<T>, _y: Shape) -> TensorOf<T> {
        x.transpose(self.0, self.1)
    }
    fn adjoint(&self, dy: &TensorOf<T>, _x: Shape) -> TensorOf<T> {
        dy.transpose(self.0, self.1)
    }
}

#[derive(Clone)]
struct Slice {
    axis: isize,
    start: usize,
    step: isize,
}

impl<T: Float> LinearMap<T> for Slice {
    const TEXTS: [Text; 2] = texts! {
        "slice":
            "y[…,i,…] = x[…, start + i·step, …]"
            => "dx[…,k,…] = Σ_{i : start + i·step = k} dy[…,i,…]",
            saves "axis, start, step";
        "slice backward":
            "dx[…,k,…] = Σ_{i : start + i·step = k} dy[…,i,…]"
            => "d(dy)[…,i,…] = dz[…, start + i·step, …]",
            saves "axis, start, step";
    };
    fn attributes(&self) -> Vec<Attribute> {
        let Self { axis, start, step } = *self;
        vec![Attribute::new("axis", axis), Attribute::new("start", start), Attribute::new("step", step)]
    }
    fn apply(&self, x: &TensorOf<T>, y: Shape) -> TensorOf<T> {
        let axis = if self.axis < 0 { self.axis + y.rank() as isize } else { self.axis };
        x.slice(self.axis, self.start, y[axis as usize], self.step)
    }
    fn adjoint(&self, dy: &TensorOf<T>, x: Shape) -> TensorOf<T> {
        let mut dx = TensorOf::full_on(dy.device(), x, T::ZERO);
        dx.assign_slice(self.axis, self.start, self.step, dy);
        dx
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
