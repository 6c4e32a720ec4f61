//! Elementwise selection from two variables (`torch.where`).

use chainrule_tensor::{Float, TensorOf};

use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, Tangent, VarOf};

impl<T: Float> VarOf<T> {
    /// This variable where the mask is not 0, else `other`; all three are broadcast. Each gets dy where it was selected, else
    /// 0.
    ///
    /// The mask does not protect what was computed before: in `w.select(mask, &(&w / 0.0))` the quotient gets the gradient 0,
    /// and the gradient of w through it is 0/0 = NaN, also where w was selected (`torch.where` does the same). Select a
    /// harmless *input* first, then compute:
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// use chainrule_tensor::{Compare, Tensor64};
    /// let x = Var64::parameter("x", [4.0, 0.0]);
    /// let positive = x.value().compare(Compare::Greater, &Tensor64::scalar(0.0));
    /// let (zero, one) = (Var64::constant(0.0), Var64::constant(1.0));
    /// // √x where x > 0, else 0. The slope of √x at 0 is ∞, and 0·∞ is NaN.
    /// let unsafe_root = x.sqrt().select(&positive, &zero);
    /// assert!(unsafe_root.sum().backward()[&x].to_vec()[1].is_nan());
    /// let safe_root = x.select(&positive, &one).sqrt().select(&positive, &zero);
    /// assert_eq!(safe_root.value().to_vec(), [2.0, 0.0]);
    /// assert_eq!(safe_root.sum().backward()[&x].to_vec(), [0.25, 0.0]);
    /// ```
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[doc(alias = "where")]
    #[track_caller]
    #[must_use]
    pub fn select(&self, mask: &TensorOf<u8>, other: &Self) -> Self {
        let y = self.value().select(mask, &other.value());
        Self::record(y, [self, other], Select { mask: mask.clone() })
    }
}

struct Select {
    mask: TensorOf<u8>,
}

impl<T: Float> Rule<T> for Select {
    describe! {
        name: "select",
        formula: "y = a where mask ≠ 0, else b",
        derivative: "da = dy where mask ≠ 0, else 0; db = 0 where mask ≠ 0, else dy",
        saved: "mask",
    }
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("mask", &self.mask)]
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let zero = VarOf::constant(TensorOf::scalar(T::ZERO));
        vec![
            needs[0].then(|| dy.select(&self.mask, &zero).sum_to(op.parent(0).shape())),
            needs[1].then(|| zero.select(&self.mask, dy).sum_to(op.parent(1).shape())),
        ]
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        let zero = VarOf::constant(TensorOf::scalar(T::ZERO));
        let [a, b] = [&dx[0], &dx[1]].map(|dx| dx.as_ref().unwrap_or(&zero));
        Some(Tangent::sum(op.output().shape(), [Some(a.select(&self.mask, b))]))
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let (a, b) = (Var64::parameter("a", [1.0, 2.0]), Var64::parameter("b", 5.0));
        let y = a.select(&[0, 1].into(), &b);
        assert_eq!(y.value().to_vec(), [5.0, 2.0]);
        let g = (&y * &y).sum().backward();
        assert_eq!((g[&a].to_vec(), g[&b].item()), (vec![0.0, 4.0], 10.0));
    }
}
