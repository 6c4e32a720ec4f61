//! The larger and the smaller of two variables, elementwise with broadcasting.

use chainrule_tensor::{Binary, Compare, Float, TensorOf};

use crate::graph::{Operation, Rule, VarOf};

impl<T: Float> VarOf<T> {
    /// `y = max(a, b)`; dy goes to the larger, half to each where they are equal, all to both where
    /// either is NaN (as in `PyTorch`). NaN if either is.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    #[must_use]
    pub fn maximum(&self, b: &Self) -> Self {
        Self::record(self.value().binary(Binary::Maximum, &b.value()), [self, b], Maximum)
    }

    /// `y = min(a, b)`; dy goes to the smaller, half to each where they are equal, all to both where
    /// either is NaN (as in `PyTorch`). NaN if either is.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    #[must_use]
    pub fn minimum(&self, b: &Self) -> Self {
        Self::record(self.value().binary(Binary::Minimum, &b.value()), [self, b], Minimum)
    }
}

/// 0 where `b op a`, ½ where they are equal, else 1: the derivative with respect to a. It is piecewise constant. Both
/// comparisons are false for NaN, whose gradient goes to both as in `PyTorch`.
fn share<T: Float>(a: &TensorOf<T>, is: Compare, b: &TensorOf<T>) -> TensorOf<T> {
    let half = TensorOf::scalar(T::from_f64(0.5));
    let strict = TensorOf::scalar(T::ZERO).select(&b.compare(is, a), &TensorOf::scalar(T::ONE));
    half.select(&a.compare(Compare::Equal, b), &strict)
}

fn gradients<T: Float>(op: &Operation<T>, is: Compare, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
    let (a, b) = (op.parent(0).value(), op.parent(1).value());
    let to = |x: &TensorOf<T>, other: &TensorOf<T>| (dy * VarOf::constant(share(x, is, other))).sum_to(x.shape());
    vec![needs[0].then(|| to(&a, &b)), needs[1].then(|| to(&b, &a))]
}

struct Maximum;

impl<T: Float> Rule<T> for Maximum {
    describe! {
        name: "maximum",
        formula: "y = max(a, b)",
        derivative: "da = 0 where a < b, dy/2 where a = b, else dy; db = 0 where b < a, dy/2 where a = b, else dy",
        saved: "a, b",
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        gradients(op, Compare::Greater, dy, needs)
    }
}

struct Minimum;

impl<T: Float> Rule<T> for Minimum {
    describe! {
        name: "minimum",
        formula: "y = min(a, b)",
        derivative: "da = 0 where a > b, dy/2 where a = b, else dy; db = 0 where b > a, dy/2 where a = b, else dy",
        saved: "a, b",
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        gradients(op, Compare::Less, dy, needs)
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let (a, b) = (Var64::parameter("a", [1.0, 2.0, 3.0]), Var64::parameter("b", 2.0));
        let g = a.maximum(&b).sum().backward();
        assert_eq!(g[&a].to_vec(), [0.0, 0.5, 1.0]);
        assert_eq!(g[&b].item(), 1.5);
        let g = a.minimum(&b).sum().backward();
        assert_eq!(g[&a].to_vec(), [1.0, 0.5, 0.0]);
        // Where one is NaN, all of dy goes to both.
        let nan = Var64::parameter("nan", f64::NAN);
        for y in [a.maximum(&nan), nan.minimum(&a)] {
            let g = y.sum().backward();
            assert_eq!((g[&a].to_vec(), g[&nan].item()), (vec![1.0; 3], 3.0));
        }
    }
}
