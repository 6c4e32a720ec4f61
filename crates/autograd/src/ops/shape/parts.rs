//! Several variables from one and one from several: stack, split, chunk, unbind, meshgrid.

use chainrule_tensor::shape_rules::{self, arrange};
use chainrule_tensor::{Float, OrPanic, Shape};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::{open, open_with};

impl<T: Float> VarOf<T> {
    /// Variables of one shape along a new axis: n times (…) → (…, n, …), where n is at `axis` (`torch.stack`). The gradient of
    /// each is its slice of dy.
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// let (a, b) = (Var64::parameter("a", [1.0, 2.0]), Var64::parameter("b", [3.0, 4.0]));
    /// let y = Var64::stack(&[&a, &b], 1);
    /// assert_eq!((y.shape().to_vec(), y.value().to_vec()), (vec![2, 2], vec![1.0, 3.0, 2.0, 4.0]));
    /// ```
    ///
    /// # Panics
    /// If there are none, two shapes differ or the axis is out of range.
    #[track_caller]
    pub fn stack(parts: &[&Self], axis: isize) -> Self {
        let shapes: Vec<Shape> = parts.iter().map(|part| part.shape()).collect();
        let axis = arrange::stack(&shapes, axis).or_panic() as isize;
        let _scope = open_with("stack", || vec![Attribute::new("axis", axis)]);
        let parts: Vec<Self> = parts.iter().map(|part| part.unsqueeze(axis)).collect();
        Self::concat(&parts.iter().collect::<Vec<_>>(), axis)
    }

    /// Parts of `size` elements of an axis, of which the last may be shorter (`torch.split`). dx is the dy of each part at
    /// its place.
    ///
    /// # Panics
    /// If the axis is out of range or the size is 0.
    #[track_caller]
    pub fn split(&self, size: usize, axis: isize) -> Vec<Self> {
        self.split_with_sizes(&arrange::parts_of("split", self.shape(), axis, size).or_panic(), axis)
    }

    /// Parts of an axis with these lengths.
    ///
    /// # Panics
    /// If the axis is out of range or the lengths do not add up to its length.
    #[track_caller]
    pub fn split_with_sizes(&self, sizes: &[usize], axis: isize) -> Vec<Self> {
        let ranges = arrange::split(self.shape(), axis, sizes).or_panic();
        let _scope = open_with("split", || vec![Attribute::new("axis", axis)]);
        ranges.into_iter().map(|range| self.narrow(axis, range)).collect()
    }

    /// `n` parts of an axis, equal but for the last; fewer if that many are not needed (`torch.chunk`).
    ///
    /// # Panics
    /// If the axis is out of range or there are 0 parts.
    #[track_caller]
    pub fn chunk(&self, n: usize, axis: isize) -> Vec<Self> {
        self.split_with_sizes(&arrange::chunks(self.shape(), axis, n).or_panic(), axis)
    }

    /// The slices of an axis, without it: (…, n, …) → n times (…).
    ///
    /// # Panics
    /// If the axis is out of range.
    #[track_caller]
    pub fn unbind(&self, axis: isize) -> Vec<Self> {
        let axis = shape_rules::axis("unbind", self.shape(), axis).or_panic();
        let _scope = open_with("unbind", || vec![Attribute::new("axis", axis)]);
        (0..self.shape()[axis]).map(|i| self.narrow(axis as isize, i..i + 1).squeeze(axis as isize)).collect()
    }

    /// The coordinates of a grid: vectors (n₁), (n₂), … → variables (n₁, n₂, …), of which number k varies along axis k. This is
    /// `indexing="ij"`; for `NumPy`'s default `xy`, swap the first two axes of each. dx is the sum of dy over the other axes.
    ///
    /// # Panics
    /// If a part has more than one axis.
    #[track_caller]
    pub fn meshgrid(parts: &[&Self]) -> Vec<Self> {
        let shapes: Vec<Shape> = parts.iter().map(|part| part.shape()).collect();
        let (grid, lines) = arrange::meshgrid(&shapes).or_panic();
        let _scope = open("meshgrid");
        parts.iter().zip(lines).map(|(part, line)| part.reshape(line).broadcast_to(grid)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn what_is_split_and_stacked_keeps_its_gradients() {
        let x = Var64::parameter("x", [1.0, 2.0, 3.0, 4.0, 5.0]);
        let lengths = |parts: Vec<Var64>| parts.iter().map(|part| part.shape()[0]).collect::<Vec<_>>();
        assert_eq!((lengths(x.split(2, 0)), lengths(x.chunk(4, -1))), (vec![2, 2, 1], vec![2, 2, 1]));
        assert_eq!(lengths(x.narrow(0, 0..0).chunk(2, 0)), [0, 0]);
        let parts = x.split_with_sizes(&[1, 4], 0);
        let y = Var64::stack(&parts[1].unbind(0).iter().rev().collect::<Vec<_>>(), 0);
        assert_eq!(y.value().to_vec(), [5.0, 4.0, 3.0, 2.0]);
        let dx = (y * Var64::constant([1.0, 2.0, 3.0, 4.0])).sum().backward()[&x].to_vec();
        assert_eq!(dx, [0.0, 4.0, 3.0, 2.0, 1.0]);
        let grid = Var64::meshgrid(&[&x, &Var64::constant([7.0, 8.0])]);
        assert_eq!((grid[0].sum().backward()[&x].to_vec(), grid[1].shape().to_vec()), (vec![2.0; 5], vec![5, 2]));
    }

    #[test]
    #[should_panic(
        expected = "split: the lengths [2, 2] do not add up to axis 0\n  x = (3,)\n  rule: Σ lengths == x.shape[0]"
    )]
    fn lengths_add_up() {
        let _ = Var64::constant([1.0, 2.0, 3.0]).split_with_sizes(&[2, 2], 0);
    }

    #[test]
    #[should_panic(
        expected = "stack: part 1 does not match part 0\n  part 0 = (2,)\n  part 1 = (1,)\n  rule: all shapes are equal"
    )]
    fn stacked_shapes_are_equal() {
        let _ = Var64::stack(&[&Var64::constant([1.0, 2.0]), &Var64::constant([1.0])], 0);
    }
}
