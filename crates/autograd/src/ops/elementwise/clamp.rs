//! Cutting off at both ends.

use chainrule_tensor::{Binary, Float, TensorOf, Unary};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// `y = max(lo, min(x, hi))`; `dx = dy` where lo ≤ x ≤ hi, else 0. NaN stays NaN.
    ///
    /// # Panics
    /// If `lo` is not at most `hi`.
    #[track_caller]
    #[must_use]
    pub fn clamp(&self, lo: f64, hi: f64) -> Self {
        assert!(lo <= hi, "clamp: the ends are {lo} and {hi}\n  rule: lo ≤ hi");
        Self::record(self.value().unary(Unary::Clamp(lo, hi)), [self], Clamp(lo, hi))
    }
}

struct Clamp(f64, f64);

impl<T: Float> Rule<T> for Clamp {
    fn name(&self) -> &'static str {
        "clamp"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy where lo ≤ x ≤ hi, else 0"
    }
    fn saved(&self) -> &'static str {
        "x, lo, hi"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(backward(dy, op.parent(0).value().clone(), self.0, self.1))]
    }
}

/// The gradient as an op of its own: linear in dy, and flat in x wherever it has a derivative.
fn backward<T: Float>(dy: &VarOf<T>, x: TensorOf<T>, lo: f64, hi: f64) -> VarOf<T> {
    let dx = dy.value().binary(Binary::ClampBackward(lo, hi), &x);
    VarOf::record(dx, [dy], ClampBackward { x, lo, hi })
}

struct ClampBackward<T: Float> {
    x: TensorOf<T>,
    lo: f64,
    hi: f64,
}

impl<T: Float> Rule<T> for ClampBackward<T> {
    fn name(&self) -> &'static str {
        "clamp backward"
    }
    fn derivative(&self) -> &'static str {
        "d(dy) = dz where lo ≤ x ≤ hi, else 0"
    }
    fn saved(&self) -> &'static str {
        "x, lo, hi"
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let _ = (op, needs);
        vec![Some(backward(dz, self.x.clone(), self.lo, self.hi))]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [-3.0, 0.5, 1.0, 2.0]);
        assert_eq!(x.clamp(0.0, 1.0).sum().backward()[&x].to_vec(), [0.0, 1.0, 1.0, 0.0]);
    }
}
