//! The exponential.

use chainrule_tensor::{Float, Unary};

use crate::operation::{Operation, Rule};
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// `y = eˣ`; `dx = dy · y`.
    #[must_use]
    pub fn exp(&self) -> Self {
        Self::record(self.value().unary(Unary::Exp), [self], Exp)
    }
}

struct Exp;

impl<T: Float> Rule<T> for Exp {
    fn name(&self) -> &'static str {
        "exp"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy · y"
    }
    fn saved(&self) -> &'static str {
        "y"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(dy * op.output())]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [0.0, 1.0]);
        let dx = x.exp().sum().backward()[&x].to_vec();
        assert_eq!(dx[0], 1.0);
        assert!((dx[1] - std::f64::consts::E).abs() < 1e-15);
    }
}
