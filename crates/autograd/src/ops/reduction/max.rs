//! The largest and smallest element along axes.

use chainrule_tensor::{Compare, Float, TensorOf};

use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, VarOf};

impl<T: Float> VarOf<T> {
    /// The largest element. See [`max_axes`](Self::max_axes).
    ///
    /// # Panics
    /// If there are no elements.
    #[track_caller]
    #[must_use]
    pub fn max(&self) -> Self {
        self.max_axes(&[], false)
    }

    /// The smallest element. See [`max_axes`](Self::max_axes).
    ///
    /// # Panics
    /// If there are no elements.
    #[track_caller]
    #[must_use]
    pub fn min(&self) -> Self {
        self.min_axes(&[], false)
    }

    /// The maximum along some axes (none means all); dy goes to it, in equal parts if several elements are equal (as
    /// `torch.amax`). NaN if any element is NaN.
    ///
    /// # Panics
    /// If an axis is out of range or there are no elements.
    #[track_caller]
    #[must_use]
    pub fn max_axes(&self, axes: &[isize], keepdim: bool) -> Self {
        extreme(self, TensorOf::max(&self.value(), axes, true), axes, keepdim, "max")
    }

    /// The minimum along some axes (none means all); dy goes to it, in equal parts if several elements are equal (as
    /// `torch.amin`). NaN if any element is NaN.
    ///
    /// # Panics
    /// If an axis is out of range or there are no elements.
    #[track_caller]
    #[must_use]
    pub fn min_axes(&self, axes: &[isize], keepdim: bool) -> Self {
        extreme(self, TensorOf::min(&self.value(), axes, true), axes, keepdim, "min")
    }
}

#[track_caller]
fn extreme<T: Float>(x: &VarOf<T>, y: TensorOf<T>, axes: &[isize], keepdim: bool, name: &'static str) -> VarOf<T> {
    let kept = VarOf::record(y, [x], Extreme { name, axes: axes.to_vec() });
    if keepdim { kept } else { kept.drop_axes(axes) }
}

/// The rule of the result with the reduced axes kept.
struct Extreme {
    name: &'static str,
    axes: Vec<isize>,
}

impl<T: Float> Rule<T> for Extreme {
    fn name(&self) -> &'static str {
        self.name
    }
    fn formula(&self) -> &'static str {
        if self.name == "max" { "y = max_{axes} x" } else { "y = min_{axes} x" }
    }
    fn derivative(&self) -> &'static str {
        "dx = dy / count where x = y, else 0; count = Σ_{axes} (x = y)"
    }
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("axes", &self.axes[..])]
    }
    fn saved(&self) -> &'static str {
        "x, y"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (x, y) = (op.parent(0).value(), op.output().value());
        let one = TensorOf::scalar(T::ONE).select(&x.compare(Compare::Equal, &y), &TensorOf::scalar(T::ZERO));
        let count = VarOf::constant(&one).sum_to(y.shape());
        vec![Some(dy * VarOf::constant(one) / count)]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [[1.0, 3.0, 3.0], [5.0, 4.0, 2.0]]);
        let y = x.max_axes(&[1], false);
        assert_eq!(y.value().to_vec(), [3.0, 5.0]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.0, 0.5, 0.5, 1.0, 0.0, 0.0]);
        assert_eq!(x.min().backward()[&x].to_vec(), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
