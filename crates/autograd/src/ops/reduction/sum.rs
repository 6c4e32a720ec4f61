//! Sum, mean and variance along axes.

use chainrule_tensor::{Float, shape_rules};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::{open, open_with};

impl<T: Float> VarOf<T> {
    /// The sum of all elements; `dx = dy` for each element.
    #[must_use]
    #[track_caller]
    pub fn sum(&self) -> Self {
        self.sum_to(())
    }

    /// The mean of all elements; `dx = dy / n`.
    #[must_use]
    #[track_caller]
    pub fn mean(&self) -> Self {
        self.mean_axes(&[], false)
    }

    /// The variance of all elements: `Σ (x − mean)² / (n − correction)`; correction 1 is the unbiased estimate.
    #[must_use]
    #[track_caller]
    pub fn var(&self, correction: usize) -> Self {
        self.var_axes(&[], correction, false)
    }

    /// The sum along some axes (negative axes count from the last, none means all); `dx = dy`, repeated along them.
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn sum_axes(&self, axes: &[isize], keepdim: bool) -> Self {
        let mut kept = self.shape();
        for axis in reduced("sum", self, axes) {
            kept = kept.with(axis, 1);
        }
        let sum = self.sum_to(kept);
        if keepdim { sum } else { sum.drop_axes(axes) }
    }

    /// The mean along some axes (none means all); `dx = dy / n`, repeated along them.
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn mean_axes(&self, axes: &[isize], keepdim: bool) -> Self {
        let _scope = open("mean");
        self.sum_axes(axes, keepdim) / count("mean", self, axes)
    }

    /// The variance along some axes (none means all): `Σ (x − mean)² / (n − correction)`;
    /// `dx = dy · 2(x − mean) / (n − correction)`.
    ///
    /// # Panics
    /// If an axis is out of range.
    #[track_caller]
    #[must_use]
    pub fn var_axes(&self, axes: &[isize], correction: usize, keepdim: bool) -> Self {
        let _scope = open_with("var", || vec![Attribute::new("correction", correction)]);
        let n = count("var", self, axes);
        let centered = |x: &Self| x - x.mean_axes(axes, true);
        centered(&centered(self)).square().sum_axes(axes, keepdim) / (n - correction as f64).max(0.0)
    }

    /// Removes the axes, each of which has length 1 (none means all).
    #[track_caller]
    pub(crate) fn drop_axes(&self, axes: &[isize]) -> Self {
        let gone = reduced("squeeze", self, axes);
        let shape = self.shape();
        let left: Vec<usize> = (0..shape.rank()).filter(|axis| !gone.contains(axis)).map(|axis| shape[axis]).collect();
        self.reshape(left)
    }
}

/// The axes that a reduction runs over.
#[track_caller]
pub(super) fn reduced<T: Float>(op: &str, x: &VarOf<T>, axes: &[isize]) -> Vec<usize> {
    let shape = x.shape();
    if axes.is_empty() {
        return (0..shape.rank()).collect();
    }
    axes.iter().map(|&axis| shape_rules::axis(op, shape, axis).unwrap_or_else(|error| panic!("{error}"))).collect()
}

/// The number of elements along the axes.
#[track_caller]
fn count<T: Float>(op: &str, x: &VarOf<T>, axes: &[isize]) -> f64 {
    reduced(op, x, axes).iter().map(|&axis| x.shape()[axis]).product::<usize>() as f64
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [[1.0, 2.0], [3.0, 6.0]]);
        assert_eq!(x.sum_axes(&[0], false).value().to_vec(), [4.0, 8.0]);
        assert_eq!(x.mean().backward()[&x].to_vec(), [0.25; 4]);
        let variance = x.var_axes(&[-1], 1, true);
        assert_eq!(variance.value().to_vec(), [0.5, 4.5]);
        assert_eq!(variance.sum().backward()[&x].to_vec(), [-1.0, 1.0, -3.0, 3.0]);
    }
}
