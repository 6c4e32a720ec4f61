//! The absolute value.

use chainrule_tensor::{Float, Unary};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// `y = |x|`; `dx = dy · sign x`, 0 at 0 as in `PyTorch`.
    #[must_use]
    pub fn abs(&self) -> Self {
        Self::record(self.value().unary(Unary::Abs), [self], Abs)
    }
}

struct Abs;

impl<T: Float> Rule<T> for Abs {
    fn name(&self) -> &'static str {
        "abs"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy · sign x"
    }
    fn saved(&self) -> &'static str {
        "x"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(dy * VarOf::constant(op.parent(0).value().unary(Unary::Sign)))]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [-2.0, 0.0, 3.0]);
        assert_eq!(x.abs().sum().backward()[&x].to_vec(), [-1.0, 0.0, 1.0]);
    }
}
